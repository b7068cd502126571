//! What `#[hdl_gen]` drops before there is a tree: found in the Rust source.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Something in a kernel that RustHDL reads as something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line in the file, from 1.
    pub line: usize,
    /// What it is.
    pub what: String,
}

/// Checks the text of one Rust file. What is inside a `macro_rules!` is not seen.
///
/// # Errors
/// When the text is no Rust file.
pub fn check(source: &str) -> syn::Result<Vec<Finding>> {
    let mut checker = Checker::default();
    checker.visit_file(&syn::parse_file(source)?);
    Ok(checker.found)
}

#[derive(Default)]
struct Checker {
    in_kernel: bool,
    found: Vec<Finding>,
}

impl Checker {
    fn report(&mut self, at: impl Spanned, what: String) {
        if self.in_kernel {
            self.found.push(Finding { line: at.span().start().line, what });
        }
    }
}

impl<'a> Visit<'a> for Checker {
    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        let is_kernel = |a: &syn::Attribute| a.path().segments.last().is_some_and(|s| s.ident == "hdl_gen");
        let outer = std::mem::replace(&mut self.in_kernel, function.attrs.iter().any(is_kernel));
        visit::visit_impl_item_fn(self, function);
        self.in_kernel = outer;
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        if let Some((token, _)) = &arm.guard {
            self.report(token, "match guard: RustHDL drops it".to_owned());
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_for_loop(&mut self, l: &'a syn::ExprForLoop) {
        if let syn::Expr::Range(syn::ExprRange { limits: syn::RangeLimits::Closed(token), .. }) = l.expr.as_ref() {
            self.report(token, "`..=`: RustHDL drops the last turn".to_owned());
        }
        // The bounds are evaluated: a constant is fine in them.
        self.visit_block(&l.body);
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        // A turbofish is evaluated too.
        self.visit_expr(&call.receiver);
        call.args.iter().for_each(|a| self.visit_expr(a));
    }

    fn visit_expr_path(&mut self, path: &'a syn::ExprPath) {
        let upper = |ident: &syn::Ident| {
            let name = ident.to_string();
            name.chars().any(|c| c.is_ascii_uppercase()) && !name.chars().any(|c| c.is_ascii_lowercase())
        };
        if let Some(last) = path.path.segments.last().filter(|s| upper(&s.ident) && path.path.segments.len() == 1) {
            let what = format!("`{}`: RustHDL keeps only the name of a constant: use a `Constant` field", last.ident);
            self.report(path, what);
        }
    }
}
