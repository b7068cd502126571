//! Flows to install, and segments of their peers.

use toe_contract::command::{self, Command, Opcode};
use toe_wire::{build_tcp_frame, EtherType, EthernetRepr, IpProtocol, Ipv4Repr, MacAddr, SeqNumber, TcpFlags, TcpOptions, TcpSegment, VlanTag};

/// What a flow is installed with; fields are those of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are explained in docs/engine.md, and nowhere else")]
pub struct FlowSetup {
    pub number: u16,
    pub local_mac: [u8; 6],
    pub remote_mac: [u8; 6],
    pub vlan: Option<u16>,
    pub local_ip: u32,
    pub remote_ip: u32,
    pub local_port: u16,
    pub remote_port: u16,
    pub receive_base: u64,
    pub send_base: u64,
    pub receive_log2: u8,
    pub send_log2: u8,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
    pub snd_mss: u16,
    pub rcv_mss: u16,
    pub timestamps: bool,
    pub nodelay: bool,
    pub ts_offset: u32,
    pub rcv_nxt: u32,
    pub rcv_adv: u32,
    pub rcv_consumed: u32,
    pub ts_recent: u32,
    pub snd_una: u32,
    pub snd_nxt: u32,
    pub limit: u32,
    pub fin: bool,
    pub quiet: bool,
    pub snd_wnd: u32,
    pub snd_wl1: u32,
    pub snd_wl2: u32,
    pub cwnd: u32,
}

impl FlowSetup {
    /// A flow just after the handshake: the peer's first byte is `irs`, ours `iss`; both windows are whole, rings have 64 KiB.
    pub fn new(number: u16, irs: u32, iss: u32) -> FlowSetup {
        let place = u64::from(number) << 32;
        FlowSetup {
            number,
            local_mac: [2, 0, 0, 0, 0, 1],
            remote_mac: [2, 0, 0, 0, 0, 2],
            vlan: None,
            local_ip: 0x0a00_0001,
            remote_ip: 0x0a00_0002,
            local_port: 80,
            remote_port: 40000 + number,
            receive_base: 0x1_0000_0000 + place,
            send_base: 0x1_8000_0000 + place,
            receive_log2: 16,
            send_log2: 16,
            snd_wscale: 0,
            rcv_wscale: 0,
            snd_mss: 1460,
            rcv_mss: 1460,
            timestamps: false,
            nodelay: false,
            ts_offset: 0,
            rcv_nxt: irs,
            rcv_adv: irs.wrapping_add(65535),
            rcv_consumed: irs,
            ts_recent: 0,
            snd_una: iss,
            snd_nxt: iss,
            limit: iss,
            fin: false,
            quiet: false,
            snd_wnd: 65535,
            snd_wl1: irs,
            snd_wl2: iss,
            cwnd: 1 << 20,
        }
    }

    /// The four commands that install it.
    pub fn commands(&self) -> [Command; 4] {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let [a, b, c, d, e, f] = self.remote_mac;
        let options = flag(self.timestamps, command::RINGS_TIMESTAMPS) | flag(self.nodelay, command::RINGS_NODELAY);
        [
            Command::new(Opcode::Address, self.number, flag(self.vlan.is_some(), command::ADDRESS_VLAN))
                .with(command::ADDRESS_REMOTE_MAC, u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
                .with(command::ADDRESS_VLAN_TCI, self.vlan.unwrap_or(0).into())
                .with(command::ADDRESS_LOCAL_IP, self.local_ip.into())
                .with(command::ADDRESS_REMOTE_IP, self.remote_ip.into())
                .with(command::ADDRESS_LOCAL_PORT, self.local_port.into())
                .with(command::ADDRESS_REMOTE_PORT, self.remote_port.into()),
            Command::new(Opcode::Rings, self.number, options)
                .with(command::RINGS_RECEIVE_BASE, self.receive_base)
                .with(command::RINGS_SEND_BASE, self.send_base)
                .with(command::RINGS_RECEIVE_LOG2, self.receive_log2.into())
                .with(command::RINGS_SEND_LOG2, self.send_log2.into())
                .with(command::RINGS_SND_WSCALE, self.snd_wscale.into())
                .with(command::RINGS_RCV_WSCALE, self.rcv_wscale.into())
                .with(command::RINGS_SND_MSS, self.snd_mss.into())
                .with(command::RINGS_RCV_MSS, self.rcv_mss.into())
                .with(command::RINGS_TS_OFFSET, self.ts_offset.into()),
            Command::new(Opcode::Receive, self.number, 0)
                .with(command::RECEIVE_RCV_NXT, self.rcv_nxt.into())
                .with(command::RECEIVE_RCV_ADV, self.rcv_adv.into())
                .with(command::RECEIVE_RCV_CONSUMED, self.rcv_consumed.into())
                .with(command::RECEIVE_TS_RECENT, self.ts_recent.into()),
            Command::new(Opcode::Install, self.number, flag(self.fin, command::FIN) | flag(self.quiet, command::QUIET))
                .with(command::INSTALL_SND_UNA, self.snd_una.into())
                .with(command::INSTALL_SND_NXT, self.snd_nxt.into())
                .with(command::INSTALL_LIMIT, self.limit.into())
                .with(command::INSTALL_SND_WND, self.snd_wnd.into())
                .with(command::INSTALL_SND_WL1, self.snd_wl1.into())
                .with(command::INSTALL_SND_WL2, self.snd_wl2.into())
                .with(command::INSTALL_CWND, self.cwnd.into()),
        ]
    }

    /// A segment of the peer as a frame, padded as on the wire.
    pub fn frame(&self, piece: &Piece, payload: &[u8]) -> Vec<u8> {
        let vlan = self.vlan.map(VlanTag);
        let eth = EthernetRepr { dst: MacAddr(self.local_mac), src: MacAddr(self.remote_mac), vlan, ether_type: EtherType::IPV4 };
        let ip = Ipv4Repr::new(self.remote_ip.into(), self.local_ip.into(), IpProtocol::TCP);
        let mut options = TcpOptions::new();
        if let Some((val, ecr)) = piece.timestamp {
            options = options.with_timestamps(val, ecr);
        }
        let tcp = TcpSegment {
            src_port: self.remote_port,
            dst_port: self.local_port,
            seq: SeqNumber(piece.seq),
            ack: SeqNumber(piece.ack),
            flags: TcpFlags(piece.flags),
            window: piece.wnd,
            options,
            payload,
            ..TcpSegment::default()
        };
        // Too long for a datagram: an empty frame, which no engine takes.
        let mut frame = build_tcp_frame(&eth, &ip, &tcp).unwrap_or_default();
        frame.resize(frame.len().max(60), 0);
        frame
    }
}

/// A segment of a peer, without its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// SEG.SEQ.
    pub seq: u32,
    /// SEG.ACK.
    pub ack: u32,
    /// The window field.
    pub wnd: u16,
    /// TCP flags.
    pub flags: u8,
    /// TSval and TSecr.
    pub timestamp: Option<(u32, u32)>,
}
