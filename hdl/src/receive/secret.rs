//! A long secret from a short one.

use rust_hdl::prelude::*;

/// Steps before the first bit is taken, and until the last: 64 + 128.
const STEPS: u64 = 192;

/// Makes 128 bits that look random out of a key of 32: the stream of a shift register with a feedback that is not linear.
///
/// A Toeplitz hash is as good as its key is random: were the long key linear in the short one (a plain LFSR), there would be differences of
/// two inputs that hash to 0 under every key, for anybody to look up. Each step is a Feistel round as in Simon (`f(x) = rotl(x, 1) &
/// rotl(x, 8) ^ rotl(x, 2)`) with the key and the number of the step; one bit a step is kept, after 64 steps without.
///
/// A change of `key`, and the reset, begin anew: 192 cycles. `ready` falls in the cycle after the change.
#[derive(LogicBlock)]
pub struct Secret {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Begins anew.
    pub reset: Signal<In, Bit>,
    /// The key.
    pub key: Signal<In, Bits<32>>,
    /// A change of the key may be taken up.
    pub allow: Signal<In, Bit>,
    /// `long` belongs to `key`.
    pub ready: Signal<Out, Bit>,
    /// Pulse: it begins anew.
    pub restart: Signal<Out, Bit>,
    /// The secret.
    pub long: Signal<Out, Bits<128>>,
    taken: DFF<Bits<32>>,
    differs: DFF<Bit>,
    settled: DFF<Bit>,
    left: DFF<Bits<8>>,
    x: DFF<Bits<32>>,
    y: DFF<Bits<32>>,
    bits: DFF<Bits<128>>,
    change: Signal<Local, Bit>,
    x1: Signal<Local, Bits<32>>,
    x2: Signal<Local, Bits<32>>,
    x8: Signal<Local, Bits<32>>,
    steps: Constant<Bits<8>>,
    x_start: Constant<Bits<32>>,
    y_start: Constant<Bits<32>>,
}

impl Default for Secret {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            key: Default::default(),
            allow: Default::default(),
            ready: Default::default(),
            restart: Default::default(),
            long: Default::default(),
            taken: Default::default(),
            differs: Default::default(),
            settled: Default::default(),
            left: Default::default(),
            x: Default::default(),
            y: Default::default(),
            bits: Default::default(),
            change: Default::default(),
            x1: Default::default(),
            x2: Default::default(),
            x8: Default::default(),
            steps: Constant::new(STEPS.into()),
            // The first bits of pi behind the point.
            x_start: Constant::new(0x243f_6a88.into()),
            y_start: Constant::new(0x85a3_08d3.into()),
        }
    }
}

impl Logic for Secret {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, taken, differs, settled, left, x, y, bits);
        self.x1.next = (self.x.q.val() << 1) | (self.x.q.val() >> 31);
        self.x2.next = (self.x.q.val() << 2) | (self.x.q.val() >> 30);
        self.x8.next = (self.x.q.val() << 8) | (self.x.q.val() >> 24);
        if self.left.q.val().any() {
            self.left.d.next = self.left.q.val() - 1;
            self.y.d.next = self.x.q.val();
            self.x.d.next = self.y.q.val() ^ (self.x1.val() & self.x8.val()) ^ self.x2.val() ^ self.taken.q.val() ^ bit_cast::<32, 8>(self.left.q.val());
            self.bits.d.next = (self.bits.q.val() << 1) | bit_cast::<128, 32>(self.x.q.val() >> 31);
        }
        self.differs.d.next = self.taken.q.val() != self.key.val();
        self.settled.d.next = !self.left.q.val().any();
        self.change.next = self.allow.val() & self.differs.q.val();
        if self.change.val() {
            self.taken.d.next = self.key.val();
            self.left.d.next = self.steps.val();
            self.x.d.next = self.x_start.val();
            self.y.d.next = self.y_start.val();
        }
        self.restart.next = self.change.val();
        self.ready.next = self.settled.q.val() & !self.differs.q.val();
        self.long.next = self.bits.q.val();
        if self.reset.val() {
            self.settled.d.next = false;
            self.taken.d.next = self.key.val();
            self.left.d.next = self.steps.val();
            self.x.d.next = self.x_start.val();
            self.y.d.next = self.y_start.val();
        }
    }
}
