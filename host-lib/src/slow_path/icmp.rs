//! ICMP errors about our segments (RFC 9293 section 3.9.2.2, RFC 5927).

use std::net::Ipv4Addr;

use toe_wire::{unreachable, IcmpPacket, IcmpRepr, SeqNumber};

use crate::tcp::{FourTuple, Unreachable};

/// An error about a segment that we are said to have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Whose it is.
    pub tuple: FourTuple,
    /// The segment's sequence number: it must be outstanding, or the error is forged (RFC 5927 section 4.1).
    pub seq: SeqNumber,
    /// What it means.
    pub kind: Unreachable,
}

/// Reads an ICMP message that has come to `local`. `None` if it is no error, or not about a TCP segment of ours.
pub fn read_error(message: &IcmpPacket<'_>, local: Ipv4Addr) -> Option<IcmpError> {
    let repr = message.repr().ok()?;
    let kind = match repr {
        // RFC 9293 section 3.9.2.2, SHLD-26: protocol unreachable, port unreachable, fragmentation needed
        IcmpRepr::DestinationUnreachable { code: unreachable::PROTOCOL | unreachable::PORT | unreachable::FRAGMENTATION_NEEDED, .. } => Unreachable::Hard,
        // SHLD-25, MUST-56; a source quench is not even read (MUST-55)
        IcmpRepr::DestinationUnreachable { .. } | IcmpRepr::TimeExceeded { .. } | IcmpRepr::ParameterProblem { .. } => Unreachable::Soft,
        IcmpRepr::EchoRequest { .. } | IcmpRepr::EchoReply { .. } => return None,
    };
    let quoted = repr.quoted_datagram().filter(|quoted| quoted.src == local)?;
    let tcp = quoted.tcp()?;
    let tuple = FourTuple::new(quoted.src, tcp.src_port, quoted.dst, tcp.dst_port);
    Some(IcmpError { tuple, seq: tcp.seq, kind })
}
