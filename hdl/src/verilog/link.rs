//! `join` and `link`: whole interfaces connected.

use super::error::Refusal;
use super::kernel::Kernel;
use super::scope::Role;
use rust_hdl::prelude::ast::{VerilogLink, VerilogLinkDetails};

impl Kernel<'_> {
    /// Connects one signal of an interface. RustHDL names the field (`.data`, or nothing for a bare signal)
    /// and the interfaces at both ends.
    pub(super) fn link(&mut self, link: &VerilogLink) -> Result<(), Refusal> {
        let (target, source) = match link {
            VerilogLink::Forward(l) => (self.end(&l.other_name, l)?, self.end(&l.owner_name, l)?),
            VerilogLink::Backward(l) => (self.end(&l.owner_name, l)?, self.end(&l.other_name, l)?),
            VerilogLink::Bidirectional(_) => return Err(Refusal::Unsupported("a port that is both input and output")),
        };
        let value = self.read(&source)?;
        let symbol = self.scope.symbol(&target)?;
        if !symbol.driven_here() {
            return Err(Refusal::NotAssignable(target));
        }
        if self.assigned.touches(&target) {
            return Err(Refusal::DrivenTwice(target));
        }
        let value = self.expect_value(value, symbol.width, symbol.signed())?;
        self.write(&target, 0, symbol.width, &value)
    }

    fn end(&self, interface: &str, link: &VerilogLinkDetails) -> Result<String, Refusal> {
        let interface = self.loops.key(interface)?;
        let key = match link.my_name.trim_start_matches('.') {
            "" => interface,
            field => format!("{interface}${}", field.replace('.', "$")),
        };
        match self.scope.symbol(&key)?.role {
            Role::Constant => Err(Refusal::NotAssignable(key)),
            _ => Ok(key),
        }
    }
}
