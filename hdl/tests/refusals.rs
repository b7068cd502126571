//! What the printer refuses, with the instance and the expression: each would mean something else in Verilog, or nothing.

use rust_hdl::prelude::*;
use toe_hdl::verilog::{print, Error, Refusal};

const MAGIC: u64 = 7;

#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
#[allow(dead_code, reason = "named in kernels that are refused")]
enum Phase {
    Idle,
    Busy,
    Done,
}

/// A block with these signals and the given kernel; what refuses it.
macro_rules! refusal {
    ($($kernel:tt)*) => {{
        #[derive(LogicBlock, Default)]
        struct Top {
            clock: Signal<In, Clock>,
            a: Signal<In, Bits<8>>,
            b: Signal<In, Bits<8>>,
            x: Signal<In, Bit>,
            i: Signal<In, Bits<3>>,
            sa: Signal<In, Signed<8>>,
            o: Signal<Out, Bits<8>>,
            p: Signal<Out, Bit>,
            t: Signal<Local, Bits<8>>,
            k: Signal<Local, Bits<3>>,
            phase: Signal<Local, Phase>,
            d: DFF<Bits<8>>,
        }
        #[allow(clippy::needless_range_loop, unused_assignments)]
        impl Logic for Top {
            $($kernel)*
        }
        match print("top", &Top::default()) {
            Err(Error::Refused { instance, refusal }) => {
                assert_eq!(instance, "top");
                println!("{refusal}");
                refusal
            }
            other => panic!("must be refused: {other:?}"),
        }
    }};
}

fn text(s: &str) -> String {
    s.to_owned()
}

#[test]
fn a_constant_of_which_only_the_name_is_left() {
    assert_eq!(
        refusal! {
        #[hdl_gen]
        fn update(&mut self) {
            self.o.next = MAGIC.into();
        }
        },
        Refusal::UnknownName(text("MAGIC"))
    );
}

#[test]
fn latches() {
    let partial_if = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            if self.x.val() {
                self.o.next = self.a.val();
            }
        }
    };
    assert_eq!(partial_if, Refusal::Latch(text("o")));
    let partial_match = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            self.phase.next = Phase::Idle;
            match self.phase.val() {
                Phase::Idle => { self.o.next = self.a.val(); }
                Phase::Busy => { self.o.next = self.b.val(); }
                Phase::Done => {}
            }
        }
    };
    assert_eq!(partial_match, Refusal::Latch(text("o")));
    let partial_else = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            if self.x.val() {
                self.o.next = self.a.val();
            } else if self.a.val().any() {
                self.o.next = self.b.val();
            }
        }
    };
    assert_eq!(partial_else, Refusal::Latch(text("o")));
}

#[test]
fn reading_before_all_of_it_is_assigned() {
    let early = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            if self.x.val() {
                self.t.next = self.a.val();
            }
            self.o.next = self.t.val();
            self.t.next = self.b.val();
        }
    };
    assert_eq!(early, Refusal::ReadFirst(text("t")));
    assert_eq!(
        refusal! {
        #[hdl_gen]
        fn update(&mut self) {
            self.t.next = self.t.val() + 1;
        }
        },
        Refusal::ReadFirst(text("t"))
    );
    let later = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            self.d.clock.next = self.clock.val();
            self.d.d.next = self.d.q.val();
            self.o.next = self.d.d.val();
            self.d.d.next = self.a.val();
        }
    };
    assert_eq!(later, Refusal::ReadBack(text("d$d")));
}

#[test]
fn a_guard_that_left_two_equal_arms() {
    let guard = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            self.o.next = 0.into();
            self.phase.next = Phase::Idle;
            match self.phase.val() {
                Phase::Idle if self.x.val() => { self.o.next = 1.into(); }
                Phase::Idle => { self.o.next = 2.into(); }
                _ => {}
            }
        }
    };
    assert_eq!(guard, Refusal::SameArm(text("Phase$Idle")));
}

#[test]
fn driving_what_others_drive() {
    assert_eq!(
        refusal! {
        #[hdl_gen]
        fn update(&mut self) {
            self.d.q.next = self.a.val();
        }
        },
        Refusal::NotAssignable(text("d"))
    );
    assert_eq!(
        refusal! {
        #[hdl_gen]
        fn update(&mut self) {
            self.a.next = self.b.val();
        }
        },
        Refusal::NotAssignable(text("a"))
    );
}

#[test]
fn what_is_not_driven() {
    let flip_flop = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            self.o.next = self.d.q.val();
            self.p.next = self.x.val();
            self.d.clock.next = self.clock.val();
        }
    };
    assert_eq!(flip_flop, Refusal::Undriven(text("d$d")));
    assert_eq!(
        refusal! {
        #[hdl_gen]
        fn update(&mut self) {
            self.o.next = self.a.val();
        }
        },
        Refusal::Undriven(text("p"))
    );
}

#[test]
fn a_clock_that_is_computed() {
    let gated = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            self.o.next = self.d.q.val();
            self.p.next = self.x.val();
            self.d.d.next = self.a.val();
            self.d.clock.next = !self.clock.val();
        }
    };
    assert_eq!(gated, Refusal::Clock(text("d")));
}

#[test]
fn literals() {
    assert_eq!(
        refusal! {
        #[hdl_gen]
        fn update(&mut self) {
            self.o.next = self.a.val() + 256;
        }
        },
        Refusal::LiteralTooBig { value: text("256"), width: 8 }
    );
    assert_eq!(
        refusal! {
        #[hdl_gen]
        fn update(&mut self) {
            self.o.next = bit_cast::<8, 64>(1u64 << self.i.val());
        }
        },
        Refusal::NoWidth(text("1"))
    );
}

#[test]
fn names_that_look_alike() {
    let shadow = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            self.k.next = 0.into();
            for k in 0..8 {
                self.p.next = self.a.val().get_bit(k);
            }
        }
    };
    assert_eq!(shadow, Refusal::LoopVariable(text("k")));
}

#[test]
fn arithmetic_in_an_index() {
    let index = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            self.p.next = self.a.val().get_bit(self.i.val().index() + 1);
        }
    };
    assert_eq!(index, Refusal::IndexArithmetic(text("(i + 3'd1)")));
    let outside = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            for j in 0..9 {
                self.p.next = self.a.val().get_bit(j);
            }
        }
    };
    assert_eq!(outside, Refusal::OutOfRange { expression: text("a"), position: text("8"), width: 8 });
}

#[test]
fn a_signed_cast_whose_width_is_lost() {
    let lost = refusal! {
    #[hdl_gen]
    fn update(&mut self) {
            self.p.next = signed_bit_cast::<16, 8>(self.sa.val()) < signed_bit_cast::<16, 8>(self.sa.val());
        }
    };
    assert_eq!(lost, Refusal::LostWidth(text("sa")));
}

#[derive(LogicBlock, Default)]
struct Inner {
    a: Signal<In, Bits<8>>,
    integer: Signal<Out, Bits<8>>,
}

impl Logic for Inner {
    #[hdl_gen]
    fn update(&mut self) {
        self.integer.next = self.a.val();
    }
}

#[derive(LogicBlock, Default)]
struct Outer {
    a: Signal<In, Bits<8>>,
    o: Signal<Out, Bits<8>>,
    inner: Inner,
}

impl Logic for Outer {
    #[hdl_gen]
    fn update(&mut self) {
        self.inner.a.next = self.a.val();
        self.o.next = self.inner.integer.val();
    }
}

#[test]
fn a_port_with_a_name_that_verilog_keeps_for_itself_and_where_it_is() {
    let error = print("outer", &Outer::default()).unwrap_err();
    assert_eq!(error, Error::Refused { instance: text("outer.inner"), refusal: Refusal::BadName(text("integer")) });
    assert_eq!(error.to_string(), "outer.inner: `integer` cannot be a name in Verilog");
}

#[derive(LogicBlock, Default)]
struct Backwards {
    a: Signal<In, Bits<8>>,
    o: Signal<Out, Bits<8>>,
}

impl Logic for Backwards {
    #[hdl_gen]
    fn update(&mut self) {
        Signal::<In, Bits<8>>::join(&mut self.a, &mut self.o);
    }
}

#[test]
fn a_join_the_wrong_way_round() {
    let error = print("backwards", &Backwards::default()).unwrap_err();
    assert_eq!(error, Error::Refused { instance: text("backwards"), refusal: Refusal::ReadFirst(text("o")) });
}
