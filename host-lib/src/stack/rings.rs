//! A flow's rings in DMA memory, used again and again.

use crossbeam_channel::{unbounded, Receiver, Sender};
use toe_driver::{Nic, NicError, Region};
use toe_wire::SeqNumber;

/// Receive and send ring of a flow. The byte with sequence number `s` lies at `s` modulo the size.
pub(crate) struct Rings {
    regions: Option<Pair>,
    back: Sender<Pair>,
}

struct Pair {
    receive: Region,
    send: Region,
}

/// The bus addresses of a pair of rings.
pub(crate) struct RingPlace {
    pub(crate) receive_base: u64,
    pub(crate) send_base: u64,
}

fn size(region: &Region) -> u32 {
    u32::try_from(region.memory().len()).unwrap_or(u32::MAX)
}

/// Copies in pieces that do not pass the ring's end: `copy` gets the place in the ring, and the place and number of bytes outside.
fn pieces(start: SeqNumber, len: usize, size: u32, mut copy: impl FnMut(usize, std::ops::Range<usize>)) {
    let at = (start.0 & (size - 1)) as usize;
    let first = len.min(size as usize - at);
    copy(at, 0..first);
    if first < len {
        copy(0, first..len);
    }
}

impl Rings {
    fn pair(&self) -> &Pair {
        // It is there until the drop.
        self.regions.as_ref().unwrap_or_else(|| unreachable!("rings are only taken apart when dropped"))
    }

    /// Bytes of the send ring.
    pub(crate) fn send_size(&self) -> u32 {
        size(&self.pair().send)
    }

    /// Where the engine finds them.
    pub(crate) fn place(&self) -> RingPlace {
        let pair = self.pair();
        RingPlace { receive_base: pair.receive.iova().0, send_base: pair.send.iova().0 }
    }

    /// Copies what was received from `start` on.
    pub(crate) fn read(&self, start: SeqNumber, to: &mut [u8]) {
        let region = &self.pair().receive;
        pieces(start, to.len(), size(region), |at, range| region.memory().copy_out(at, &mut to[range]));
    }

    /// Copies what is to be sent, from `start` on.
    pub(crate) fn write(&self, start: SeqNumber, from: &[u8]) {
        let region = &self.pair().send;
        pieces(start, from.len(), size(region), |at, range| region.memory().copy_in(at, &from[range]));
    }
}

impl Drop for Rings {
    /// The last of engine, stack and application has let go: back into the pool.
    fn drop(&mut self) {
        if let Some(pair) = self.regions.take() {
            // Without a stack there is no pool, and the memory goes.
            let _ = self.back.send(pair);
        }
    }
}

/// Rings that nobody uses, and how many there are in all.
pub(crate) struct RingPool {
    receive_log2: u8,
    send_log2: u8,
    back: Sender<Pair>,
    free: Receiver<Pair>,
    made: usize,
}

impl RingPool {
    pub(crate) fn new(receive_log2: u8, send_log2: u8) -> RingPool {
        let (back, free) = unbounded();
        RingPool { receive_log2, send_log2, back, free, made: 0 }
    }

    /// A pair of rings, an old one if there is any.
    pub(crate) fn take(&mut self, nic: &Nic) -> Result<Rings, NicError> {
        let pair = match self.free.try_recv() {
            Ok(pair) => pair,
            Err(_) => {
                let pair = Pair { receive: nic.allocate_ring(self.receive_log2)?, send: nic.allocate_ring(self.send_log2)? };
                self.made += 1;
                pair
            }
        };
        Ok(Rings { regions: Some(pair), back: self.back.clone() })
    }

    /// Pairs in use, and pairs made.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.made - self.free.len(), self.made)
    }
}
