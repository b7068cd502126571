//! A connection with the Linux kernel, seen from both ends and on the wire, with a gate on the wire.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

use toe_host_lib::tcp::{FourTuple, State};
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{Config, SocketInfo, TcpListener, TcpStream};
use toe_sim::command::run;
use toe_sim::wire::{Gate, GateControl, Passed, Tap, WatchLog, Watched, Wire, WireFrame};
use toe_wire::{EthernetFrame, IpProtocol, Ipv4Packet, SeqNumber, TcpFlags, TcpOptions, TcpPacket};

use super::kernel::{over, Bench, KERNEL, PATIENCE};

/// Neither end sends anything again within this time, in a scene that is quiet.
const QUIET: Duration = Duration::from_secs(20);
/// The kernel's and ours.
const NETWORK: &str = "192.0.2.0/24";
/// The ports on which we and the kernel listen.
pub const OUR_PORT: u16 = 80;
pub const KERNEL_PORT: u16 = 8080;

/// Who opens and who closes first: every pair of (we listen, we close first).
pub const SIDES: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

/// A bench, what passes its wire, and the gate between that and the kernel: what the gate loses is seen.
pub struct Scene {
    pub bench: Bench,
    pub gate: GateControl,
    log: WatchLog,
}

/// A connection of ours with the kernel.
pub struct Pair {
    pub ours: TcpStream,
    pub kernel: std::net::TcpStream,
    /// As we see it.
    pub tuple: FourTuple,
}

/// A segment that was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub at: Nanoseconds,
    /// By us; else the kernel did.
    pub sent: bool,
    pub tuple: FourTuple,
    pub seq: SeqNumber,
    pub ack: SeqNumber,
    pub flags: TcpFlags,
    pub window: u16,
    pub options: TcpOptions,
    /// Bytes of payload.
    pub len: u32,
}

impl Seen {
    /// The segment in the first bytes of a frame, if it is one.
    pub fn read(at: Nanoseconds, sent: bool, frame: &[u8]) -> Option<Seen> {
        let eth = EthernetFrame::parse(frame).ok()?;
        let ip = Ipv4Packet::parse_beginning(eth.payload()).ok().filter(|ip| ip.protocol() == IpProtocol::TCP && ip.fragment().is_whole())?;
        let packet = TcpPacket::parse(ip.payload()).ok()?;
        let tcp = packet.repr();
        let (src, dst) = (SocketAddrV4::new(ip.src(), tcp.src_port), SocketAddrV4::new(ip.dst(), tcp.dst_port));
        let tuple = if sent { FourTuple { local: src, remote: dst } } else { FourTuple { local: dst, remote: src } };
        let headers = ip.header().len() + packet.header_len();
        let len = u32::try_from(usize::from(ip.total_len()).checked_sub(headers)?).ok()?;
        Some(Seen { at, sent, tuple, seq: tcp.seq, ack: tcp.ack, flags: tcp.flags, window: tcp.window, options: tcp.options, len })
    }

    /// The number after the last one it takes.
    pub fn end(&self) -> SeqNumber {
        self.seq + self.len + u32::from(self.flags.fin()) + u32::from(self.flags.syn())
    }

    pub fn is_pure_ack(&self) -> bool {
        self.flags == TcpFlags::ACK && self.len == 0
    }
}

/// The segment of a frame at the gate.
pub fn at_gate(sent: bool, frame: &WireFrame) -> Option<Seen> {
    Seen::read(Nanoseconds::ZERO, sent, &frame.bytes)
}

/// Waits for something that is to come true.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "did not happen within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A scene in which lost segments are sent again as quickly as usual.
pub fn scene(adjust: impl FnOnce(&mut Config)) -> Option<Scene> {
    scene_over(adjust, |gate| Box::new(gate))
}

/// A scene in which nothing is sent twice, however slowly the engine is simulated: both ends are patient.
pub fn quiet_scene(adjust: impl FnOnce(&mut Config)) -> Option<Scene> {
    let scene = scene(|config| {
        config.settings.rto_min = QUIET.into();
        config.settings.rto_initial = QUIET.into();
        adjust(config);
    })?;
    scene.set("tcp_early_retrans", "0");
    let mut route = scene.bench.namespace.command("ip").expect("a namespace");
    route.args(["route", "replace", NETWORK, "dev", "toe0", "proto", "kernel", "scope", "link", "src", &KERNEL.to_string()]);
    route.args(["rto_min", &format!("{}ms", QUIET.as_millis())]);
    run(route, PATIENCE).expect("ip route");
    Some(scene)
}

/// A scene with something between the gate and what is seen.
pub fn scene_over(adjust: impl FnOnce(&mut Config), between: impl FnOnce(Gate<Tap>) -> Box<dyn Wire>) -> Option<Scene> {
    let mut seen = None;
    let bench = over(
        |tap, _| {
            let (gate, control) = Gate::new(tap);
            let (watched, log) = Watched::new(between(gate));
            seen = Some((control, log));
            Box::new(watched)
        },
        adjust,
    )?;
    let (gate, log) = seen.expect("the wire was made");
    Some(Scene { bench, gate, log })
}

impl Scene {
    /// Sets one of the kernel's knobs below `net.ipv4`.
    pub fn set(&self, knob: &str, value: &str) {
        let path = format!("/proc/sys/net/ipv4/{knob}");
        self.bench.namespace.run(|| fs::write(path, value)).expect("a thread").expect("the knob is there");
    }

    /// A connection that has carried a byte each way.
    pub fn pair(&self, we_listen: bool) -> Pair {
        let (mut ours, mut kernel) = self.bench.pair(we_listen);
        for set in [kernel.set_read_timeout(Some(PATIENCE)), ours.set_read_timeout(Some(PATIENCE)), ours.set_write_timeout(Some(PATIENCE))] {
            set.expect("not zero");
        }
        let (SocketAddr::V4(remote), local) = (kernel.local_addr().expect("an address"), ours.local_addr().expect("an address")) else {
            panic!("the kernel's socket is one of IPv4");
        };
        let tuple = FourTuple { local, remote };
        ours.write_all(b"a").expect("we send");
        kernel.read_exact(&mut [0]).expect("the kernel hears");
        kernel.write_all(b"b").expect("the kernel sends");
        ours.read_exact(&mut [0]).expect("we hear");
        let pair = Pair { ours, kernel, tuple };
        eventually("everything is acknowledged", || pair.ours.unacknowledged() == 0 && self.kernel_queues(tuple) == Some((0, 0)));
        pair
    }

    /// A listener of ours.
    pub fn listen(&self) -> TcpListener {
        TcpListener::bind(&self.bench.handle(), OUR_PORT).expect("the port is free")
    }

    /// The states that our end has gone through.
    pub fn walk(&self, tuple: FourTuple) -> Vec<State> {
        self.bench.handle().log().states(tuple)
    }

    /// Our socket, as `toe ss` shows it.
    pub fn socket(&self, tuple: FourTuple) -> Option<SocketInfo> {
        self.bench.handle().sockets().expect("the stack works").into_iter().find(|socket| socket.tuple == tuple)
    }

    /// Waits until our end is in this state; gone is CLOSED.
    pub fn await_ours(&self, tuple: FourTuple, state: State) {
        eventually(&format!("we are in {state}"), || self.socket(tuple).map_or(State::Closed, |socket| socket.state) == state);
    }

    /// The line of the kernel's socket in `/proc/net/tcp`: state, queues.
    fn kernel_socket(&self, tuple: FourTuple) -> Option<(State, u32, u32)> {
        let table = self.bench.namespace.run(|| fs::read_to_string("/proc/thread-self/net/tcp")).expect("a thread").expect("the table is there");
        let line = table.lines().skip(1).find(|line| is_of(line, tuple))?;
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (send, receive) = fields[4].split_once(':').expect("two queues");
        let number = |text| u32::from_str_radix(text, 16).expect("a hexadecimal number");
        Some((state(fields[3]), number(send), number(receive)))
    }

    /// The state of the kernel's end; gone is CLOSED.
    pub fn kernel_state(&self, tuple: FourTuple) -> State {
        self.kernel_socket(tuple).map_or(State::Closed, |(state, ..)| state)
    }

    /// Bytes the kernel has not had acknowledged, and bytes nobody has read there.
    pub fn kernel_queues(&self, tuple: FourTuple) -> Option<(u32, u32)> {
        self.kernel_socket(tuple).map(|(_, send, receive)| (send, receive))
    }

    /// Waits until the kernel's end is in this state.
    pub fn await_kernel(&self, tuple: FourTuple, state: State) {
        eventually(&format!("the kernel is in {state}"), || self.kernel_state(tuple) == state);
    }

    /// What `ss` tells of the kernel's TCP_INFO.
    pub fn tcp_info(&self, tuple: FourTuple) -> String {
        let mut command = self.bench.namespace.command("ss").expect("a namespace");
        command.args(["--tcp", "--info", "--options", "--numeric", "--no-header", "src", &tuple.remote.to_string(), "dst", &tuple.local.to_string()]);
        run(command, PATIENCE).expect("ss").stdout
    }

    /// What went over the wire.
    pub fn frames(&self) -> Vec<Passed> {
        self.log.passed()
    }

    /// The connection's segments on the wire, in order.
    pub fn segments(&self, tuple: FourTuple) -> Vec<Seen> {
        let frames = self.frames();
        frames.iter().filter_map(|f| Seen::read(f.at, f.sent, &f.head)).filter(|seen| seen.tuple == tuple).collect()
    }

    /// Every connection is over, and nothing is taken any more.
    pub fn assert_nothing_left(&self) {
        self.bench.assert_nothing_left();
    }
}

/// Whether a line of `/proc/net/tcp` is the kernel's end of this connection.
fn is_of(line: &str, tuple: FourTuple) -> bool {
    let hex = |address: SocketAddrV4| format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let mut fields = line.split_whitespace().skip(1);
    fields.next() == Some(&hex(tuple.remote)) && fields.next() == Some(&hex(tuple.local))
}

/// The kernel's number of a state (`include/net/tcp_states.h`).
fn state(number: &str) -> State {
    match number {
        "01" => State::Established,
        "02" => State::SynSent,
        "03" | "0C" => State::SynReceived,
        "04" => State::FinWait1,
        "05" => State::FinWait2,
        "06" => State::TimeWait,
        "07" => State::Closed,
        "08" => State::CloseWait,
        "09" => State::LastAck,
        "0A" => State::Listen,
        "0B" => State::Closing,
        other => panic!("a state of the kernel: {other}"),
    }
}
