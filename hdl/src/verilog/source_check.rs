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

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        if let syn::Expr::Path(function) = call.func.as_ref() {
            if let Some(name) = function.path.segments.last().map(|s| s.ident.to_string()).filter(|name| !CALLS.contains(&name.as_str())) {
                self.report(function, format!("`{name}`: RustHDL knows a function by the beginning of its name"));
            }
        }
        call.args.iter().for_each(|a| self.visit_expr(a));
    }

    fn visit_expr_field(&mut self, field: &'a syn::ExprField) {
        if let syn::Member::Named(name) = &field.member {
            if name.to_string().ends_with("self") {
                self.report(name, format!("`{name}`: RustHDL takes `self.` out of every name"));
            }
        }
        visit::visit_expr_field(self, field);
    }

    fn visit_expr_path(&mut self, path: &'a syn::ExprPath) {
        let upper = |ident: &syn::Ident| {
            let name = ident.to_string();
            name.chars().any(|c| c.is_ascii_uppercase()) && !name.chars().any(|c| c.is_ascii_lowercase())
        };
        if let Some(last) = path.path.segments.last().filter(|s| upper(&s.ident)) {
            // A variant of an enum has its enum before it, with small letters in its name.
            let qualified = path.path.segments.iter().rev().nth(1).is_some_and(|s| s.ident.to_string().starts_with(char::is_uppercase));
            if !qualified {
                let what = format!("`{}`: RustHDL keeps only the name of a constant; use a `Constant` field", last.ident);
                self.report(path, what);
            }
        }
    }
}

/// The functions of the kernel language; `from` is that of `Bits`.
const CALLS: &[&str] = &["bit_cast", "bits", "from", "signed_bit_cast", "signed_cast", "unsigned_cast", "join", "link"];
