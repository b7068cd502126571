//! The two buses of the engine (ARM IHI 0022): registers over AXI4-Lite, host memory over AXI4.
//!
//! Of AXI4 only what is used is there: one ID, every beat 8 bytes (AxSIZE 3), every burst INCR. Bursts never cross 256 bytes, so neither 4 KiB.

#![allow(missing_docs, reason = "`join`, which the derive writes, has no comment")]

use rust_hdl::prelude::*;

/// Bits of a register's byte address: `toe_contract::register::BAR_SIZE`.
pub const REGISTER_BITS: usize = toe_contract::register::BAR_SIZE.trailing_zeros() as usize;

/// Bytes that a burst never crosses, log2: 32 beats.
pub const BLOCK_LOG2: usize = 8;

/// AXI4-Lite, the slave's side: 32 data bits.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "LiteMaster"]
pub struct LiteSlave {
    /// Byte address of a write.
    pub awaddr: Signal<In, Bits<18>>,
    /// It is offered.
    pub awvalid: Signal<In, Bit>,
    /// It is taken.
    pub awready: Signal<Out, Bit>,
    /// What is written.
    pub wdata: Signal<In, Bits<32>>,
    /// Bytes of it that count.
    pub wstrb: Signal<In, Bits<4>>,
    /// It is offered.
    pub wvalid: Signal<In, Bit>,
    /// It is taken.
    pub wready: Signal<Out, Bit>,
    /// Answer to a write: always OKAY.
    pub bresp: Signal<Out, Bits<2>>,
    /// It is offered.
    pub bvalid: Signal<Out, Bit>,
    /// It is taken.
    pub bready: Signal<In, Bit>,
    /// Byte address of a read.
    pub araddr: Signal<In, Bits<18>>,
    /// It is offered.
    pub arvalid: Signal<In, Bit>,
    /// It is taken.
    pub arready: Signal<Out, Bit>,
    /// What was read.
    pub rdata: Signal<Out, Bits<32>>,
    /// Answer to a read: always OKAY.
    pub rresp: Signal<Out, Bits<2>>,
    /// It is offered.
    pub rvalid: Signal<Out, Bit>,
    /// It is taken.
    pub rready: Signal<In, Bit>,
}

/// AXI4-Lite, the master's side.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "LiteSlave"]
pub struct LiteMaster {
    /// Byte address of a write.
    pub awaddr: Signal<Out, Bits<18>>,
    /// It is offered.
    pub awvalid: Signal<Out, Bit>,
    /// It is taken.
    pub awready: Signal<In, Bit>,
    /// What is written.
    pub wdata: Signal<Out, Bits<32>>,
    /// Bytes of it that count.
    pub wstrb: Signal<Out, Bits<4>>,
    /// It is offered.
    pub wvalid: Signal<Out, Bit>,
    /// It is taken.
    pub wready: Signal<In, Bit>,
    /// Answer to a write.
    pub bresp: Signal<In, Bits<2>>,
    /// It is offered.
    pub bvalid: Signal<In, Bit>,
    /// It is taken.
    pub bready: Signal<Out, Bit>,
    /// Byte address of a read.
    pub araddr: Signal<Out, Bits<18>>,
    /// It is offered.
    pub arvalid: Signal<Out, Bit>,
    /// It is taken.
    pub arready: Signal<In, Bit>,
    /// What was read.
    pub rdata: Signal<In, Bits<32>>,
    /// Answer to a read.
    pub rresp: Signal<In, Bits<2>>,
    /// It is offered.
    pub rvalid: Signal<In, Bit>,
    /// It is taken.
    pub rready: Signal<Out, Bit>,
}

/// The read channels of AXI4, the master's side.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "ReadSlave"]
pub struct ReadMaster {
    /// Address of the first beat, a multiple of 8.
    pub araddr: Signal<Out, Bits<64>>,
    /// Beats, less one.
    pub arlen: Signal<Out, Bits<8>>,
    /// It is offered.
    pub arvalid: Signal<Out, Bit>,
    /// It is taken.
    pub arready: Signal<In, Bit>,
    /// A beat.
    pub rdata: Signal<In, Bits<64>>,
    /// Not 0: the access failed.
    pub rresp: Signal<In, Bits<2>>,
    /// Last beat of its burst.
    pub rlast: Signal<In, Bit>,
    /// A beat is offered.
    pub rvalid: Signal<In, Bit>,
    /// It is taken.
    pub rready: Signal<Out, Bit>,
}

/// The read channels of AXI4, the slave's side.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "ReadMaster"]
pub struct ReadSlave {
    /// Address of the first beat, a multiple of 8.
    pub araddr: Signal<In, Bits<64>>,
    /// Beats, less one.
    pub arlen: Signal<In, Bits<8>>,
    /// It is offered.
    pub arvalid: Signal<In, Bit>,
    /// It is taken.
    pub arready: Signal<Out, Bit>,
    /// A beat.
    pub rdata: Signal<Out, Bits<64>>,
    /// Not 0: the access failed.
    pub rresp: Signal<Out, Bits<2>>,
    /// Last beat of its burst.
    pub rlast: Signal<Out, Bit>,
    /// A beat is offered.
    pub rvalid: Signal<Out, Bit>,
    /// It is taken.
    pub rready: Signal<In, Bit>,
}

/// The write channels of AXI4, the master's side.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "WriteSlave"]
pub struct WriteMaster {
    /// Address of the first beat, a multiple of 8.
    pub awaddr: Signal<Out, Bits<64>>,
    /// Beats, less one.
    pub awlen: Signal<Out, Bits<8>>,
    /// It is offered.
    pub awvalid: Signal<Out, Bit>,
    /// It is taken.
    pub awready: Signal<In, Bit>,
    /// A beat.
    pub wdata: Signal<Out, Bits<64>>,
    /// Bytes of it that count.
    pub wstrb: Signal<Out, Bits<8>>,
    /// Last beat of its burst.
    pub wlast: Signal<Out, Bit>,
    /// A beat is offered.
    pub wvalid: Signal<Out, Bit>,
    /// It is taken.
    pub wready: Signal<In, Bit>,
    /// Answer to a burst; not 0: it failed.
    pub bresp: Signal<In, Bits<2>>,
    /// It is offered.
    pub bvalid: Signal<In, Bit>,
    /// It is taken.
    pub bready: Signal<Out, Bit>,
}

/// The write channels of AXI4, the slave's side.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "WriteMaster"]
pub struct WriteSlave {
    /// Address of the first beat, a multiple of 8.
    pub awaddr: Signal<In, Bits<64>>,
    /// Beats, less one.
    pub awlen: Signal<In, Bits<8>>,
    /// It is offered.
    pub awvalid: Signal<In, Bit>,
    /// It is taken.
    pub awready: Signal<Out, Bit>,
    /// A beat.
    pub wdata: Signal<In, Bits<64>>,
    /// Bytes of it that count.
    pub wstrb: Signal<In, Bits<8>>,
    /// Last beat of its burst.
    pub wlast: Signal<In, Bit>,
    /// A beat is offered.
    pub wvalid: Signal<In, Bit>,
    /// It is taken.
    pub wready: Signal<Out, Bit>,
    /// Answer to a burst; not 0: it failed.
    pub bresp: Signal<Out, Bits<2>>,
    /// It is offered.
    pub bvalid: Signal<Out, Bit>,
    /// It is taken.
    pub bready: Signal<In, Bit>,
}

/// The read and write channels together, the master's side: see [`ReadMaster`] and [`WriteMaster`].
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "Slave"]
pub struct Master {
    /// Address of the first beat, a multiple of 8.
    pub awaddr: Signal<Out, Bits<64>>,
    /// Beats, less one.
    pub awlen: Signal<Out, Bits<8>>,
    /// It is offered.
    pub awvalid: Signal<Out, Bit>,
    /// It is taken.
    pub awready: Signal<In, Bit>,
    /// A beat.
    pub wdata: Signal<Out, Bits<64>>,
    /// Bytes of it that count.
    pub wstrb: Signal<Out, Bits<8>>,
    /// Last beat of its burst.
    pub wlast: Signal<Out, Bit>,
    /// A beat is offered.
    pub wvalid: Signal<Out, Bit>,
    /// It is taken.
    pub wready: Signal<In, Bit>,
    /// Answer to a burst; not 0: it failed.
    pub bresp: Signal<In, Bits<2>>,
    /// It is offered.
    pub bvalid: Signal<In, Bit>,
    /// It is taken.
    pub bready: Signal<Out, Bit>,
    /// Address of the first beat, a multiple of 8.
    pub araddr: Signal<Out, Bits<64>>,
    /// Beats, less one.
    pub arlen: Signal<Out, Bits<8>>,
    /// It is offered.
    pub arvalid: Signal<Out, Bit>,
    /// It is taken.
    pub arready: Signal<In, Bit>,
    /// A beat.
    pub rdata: Signal<In, Bits<64>>,
    /// Not 0: the access failed.
    pub rresp: Signal<In, Bits<2>>,
    /// Last beat of its burst.
    pub rlast: Signal<In, Bit>,
    /// A beat is offered.
    pub rvalid: Signal<In, Bit>,
    /// It is taken.
    pub rready: Signal<Out, Bit>,
}

/// The read and write channels together, the slave's side.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "Master"]
pub struct Slave {
    /// Address of the first beat, a multiple of 8.
    pub awaddr: Signal<In, Bits<64>>,
    /// Beats, less one.
    pub awlen: Signal<In, Bits<8>>,
    /// It is offered.
    pub awvalid: Signal<In, Bit>,
    /// It is taken.
    pub awready: Signal<Out, Bit>,
    /// A beat.
    pub wdata: Signal<In, Bits<64>>,
    /// Bytes of it that count.
    pub wstrb: Signal<In, Bits<8>>,
    /// Last beat of its burst.
    pub wlast: Signal<In, Bit>,
    /// A beat is offered.
    pub wvalid: Signal<In, Bit>,
    /// It is taken.
    pub wready: Signal<Out, Bit>,
    /// Answer to a burst; not 0: it failed.
    pub bresp: Signal<Out, Bits<2>>,
    /// It is offered.
    pub bvalid: Signal<Out, Bit>,
    /// It is taken.
    pub bready: Signal<In, Bit>,
    /// Address of the first beat, a multiple of 8.
    pub araddr: Signal<In, Bits<64>>,
    /// Beats, less one.
    pub arlen: Signal<In, Bits<8>>,
    /// It is offered.
    pub arvalid: Signal<In, Bit>,
    /// It is taken.
    pub arready: Signal<Out, Bit>,
    /// A beat.
    pub rdata: Signal<Out, Bits<64>>,
    /// Not 0: the access failed.
    pub rresp: Signal<Out, Bits<2>>,
    /// Last beat of its burst.
    pub rlast: Signal<Out, Bit>,
    /// A beat is offered.
    pub rvalid: Signal<Out, Bit>,
    /// It is taken.
    pub rready: Signal<In, Bit>,
}

/// Interrupts, the sender's side.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "InterruptRx"]
pub struct InterruptTx {
    /// An interrupt is to be sent.
    pub valid: Signal<Out, Bit>,
    /// Its number: that of the context.
    pub vector: Signal<Out, Bits<8>>,
    /// It is taken.
    pub ready: Signal<In, Bit>,
}

/// Interrupts, the receiver's side.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "InterruptTx"]
pub struct InterruptRx {
    /// An interrupt is to be sent.
    pub valid: Signal<In, Bit>,
    /// Its number: that of the context.
    pub vector: Signal<In, Bits<8>>,
    /// It is taken.
    pub ready: Signal<Out, Bit>,
}
