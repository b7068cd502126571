//! Out of host memory onto the wire: fetch payload and frames, make headers.
//!
//! ```text
//!  flow core -FetchJob-> fetch -ReadJob----------------> read engine
//!                          | Arrival  | Stored              | bytes
//!                          v          |                     |
//!                       collect <-----|---------------------+
//!                    sums  | |  bytes |
//!   <- SealRequest --------+ v        v
//!                         buffer -> supply -> build -> mac
//!                         (32 KiB)    |         ^
//!                                     v         +-- Segment (sealed, acks) <- flow core
//!                            injected frames
//! ```

#![allow(missing_docs, reason = "what the derives write has no comment")]

pub mod build;
pub mod collect;
pub mod fetch;
pub mod header;
pub mod lanes;
pub mod supply;

use crate::ram::Fifo;
use crate::stream::{StreamRx, StreamTx};
use crate::types::{ChannelRx, ChannelTx, FetchJob, ReadJob, SealRequest, Segment};
use build::Build;
use collect::Collect;
use fetch::{Arrival, Fetch, Stored, BUFFER_BITS, LEVEL_BITS};
use rust_hdl::prelude::*;
use supply::Supply;

/// Everything between the flow core, the read engine and the MAC. At most 32 jobs and 32 KiB are on their way at once.
#[derive(LogicBlock, Default)]
pub struct Transmit {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Our MAC address, byte 0 of the wire lowest.
    pub local_mac: Signal<In, Bits<48>>,
    /// Orders, from the flow core.
    pub jobs: ChannelRx<FetchJob>,
    /// To the read engine; never with length 0.
    pub reads: ChannelTx<ReadJob>,
    /// From it, a frame of this stream for each read.
    pub bytes: StreamRx<64, 8>,
    /// To the flow core: payload is here. In order of jobs.
    pub seals: ChannelTx<SealRequest>,
    /// From it: headers, in order of the requests that are no marker.
    pub sealed: ChannelRx<Segment>,
    /// From it: pure ACKs.
    pub acks: ChannelRx<Segment>,
    /// Frames to the wire.
    pub mac: StreamTx<64, 8>,
    /// Frames to the receive side.
    pub inject: StreamTx<64, 8>,
    /// The bytes of one more RAW or INJECT have been read.
    pub raw_fetched: Signal<Out, Bit>,
    /// One more raw frame has gone to the MAC.
    pub tx_raw: Signal<Out, Bit>,
    /// Nothing inside.
    pub idle: Signal<Out, Bit>,
    fetch: Fetch,
    arrivals: Fifo<Arrival, 5, 6>,
    planned: Fifo<SealRequest, 5, 6>,
    stored: Fifo<Stored, 5, 6>,
    collect: Collect,
    buffer: Fifo<Bits<64>, BUFFER_BITS, LEVEL_BITS>,
    sums: Fifo<Bits<16>, 5, 6>,
    supply: Supply,
    build: Build,
}

impl Logic for Transmit {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, fetch, arrivals, planned, stored, collect, buffer, sums, supply, build);
        self.fetch.reset.next = self.reset.val();
        self.arrivals.reset.next = self.reset.val();
        self.planned.reset.next = self.reset.val();
        self.stored.reset.next = self.reset.val();
        self.collect.reset.next = self.reset.val();
        self.buffer.reset.next = self.reset.val();
        self.sums.reset.next = self.reset.val();
        self.supply.reset.next = self.reset.val();
        self.build.reset.next = self.reset.val();
        ChannelRx::<FetchJob>::link(&mut self.jobs, &mut self.fetch.jobs);
        ChannelTx::<ReadJob>::link(&mut self.reads, &mut self.fetch.reads);
        ChannelTx::<Arrival>::join(&mut self.fetch.arrivals, &mut self.arrivals.s);
        ChannelTx::<SealRequest>::join(&mut self.fetch.planned, &mut self.planned.s);
        ChannelTx::<Stored>::join(&mut self.fetch.stored, &mut self.stored.s);
        ChannelTx::<Arrival>::join(&mut self.arrivals.m, &mut self.collect.arrivals);
        ChannelTx::<SealRequest>::join(&mut self.planned.m, &mut self.collect.planned);
        StreamRx::<64, 8>::link(&mut self.bytes, &mut self.collect.bytes);
        ChannelTx::<SealRequest>::link(&mut self.seals, &mut self.collect.seals);
        ChannelTx::<Bits<64>>::join(&mut self.collect.buffer, &mut self.buffer.s);
        ChannelTx::<Bits<16>>::join(&mut self.collect.sums, &mut self.sums.s);
        ChannelTx::<Bits<64>>::join(&mut self.buffer.m, &mut self.supply.buffer);
        ChannelTx::<Bits<16>>::join(&mut self.sums.m, &mut self.supply.sums);
        ChannelTx::<Stored>::join(&mut self.stored.m, &mut self.supply.stored);
        ChannelTx::<supply::Offer>::join(&mut self.supply.offer, &mut self.build.offer);
        StreamTx::<64, 8>::join(&mut self.supply.payload, &mut self.build.payload);
        StreamTx::<64, 8>::link(&mut self.inject, &mut self.supply.inject);
        ChannelRx::<Segment>::link(&mut self.sealed, &mut self.build.sealed);
        ChannelRx::<Segment>::link(&mut self.acks, &mut self.build.acks);
        StreamTx::<64, 8>::link(&mut self.mac, &mut self.build.mac);
        self.fetch.released.next = self.supply.released.val();
        self.build.local_mac.next = self.local_mac.val();
        self.raw_fetched.next = self.collect.raw_fetched.val();
        self.tx_raw.next = self.build.tx_raw.val();
        self.idle.next =
            self.fetch.idle.val() & !self.stored.level.val().any() & !self.planned.level.val().any() & self.supply.idle.val() & self.build.idle.val();
    }
}
