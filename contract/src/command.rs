//! Commands: what the host writes into the submission ring. 32 bytes, eight words, little-endian.
//!
//! Word 0 of every command is `opcode | flags << 8 | flow << 16`. What each does is in `docs/engine.md`, "COMMAND".

/// Bytes of a command.
pub const SIZE: usize = 32;
/// Words of a command.
pub const WORDS: usize = SIZE / 4;

/// What a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Part 1 of an installation: addresses and ports.
    Address = 1,
    /// Part 2: rings and options.
    Rings = 2,
    /// Part 3: the receive side.
    Receive = 3,
    /// Part 4: the send side; the flow begins to work.
    Install = 4,
    /// The send ring holds bytes up to a new limit.
    Send = 5,
    /// The application has read up to here.
    Consumed = 6,
    /// New congestion window.
    Cwnd = 7,
    /// Send again from a point, or one segment from there.
    Resend = 8,
    /// Send an ACK now.
    AckNow = 9,
    /// Only re-arms the flow's event.
    Rearm = 10,
    /// Stop the flow, hand back its state, free its number.
    Remove = 11,
    /// Send a frame from host memory.
    Raw = 12,
    /// Let a frame from host memory be received.
    Inject = 13,
}

impl Opcode {
    /// Every opcode, ascending.
    pub const ALL: [Opcode; 13] = [
        Opcode::Address,
        Opcode::Rings,
        Opcode::Receive,
        Opcode::Install,
        Opcode::Send,
        Opcode::Consumed,
        Opcode::Cwnd,
        Opcode::Resend,
        Opcode::AckNow,
        Opcode::Rearm,
        Opcode::Remove,
        Opcode::Raw,
        Opcode::Inject,
    ];

    /// The opcode with that number.
    pub fn from_u8(number: u8) -> Option<Opcode> {
        Opcode::ALL.into_iter().find(|o| *o as u8 == number)
    }
}

/// Flag of every command of an active flow: the host takes the next event.
pub const REARM: u8 = 0x80;
/// Flag of INSTALL and of every command with [`REARM`]: payload out of order is not answered at once, since what is missing lies with the host.
pub const QUIET: u8 = 0x40;
/// Flag of ADDRESS: frames of the flow carry an 802.1Q tag.
pub const ADDRESS_VLAN: u8 = 1;
/// Flag of RINGS: timestamps were negotiated (RFC 7323).
pub const RINGS_TIMESTAMPS: u8 = 1;
/// Flag of RINGS: no Nagle (RFC 9293 section 3.7.4).
pub const RINGS_NODELAY: u8 = 2;
/// Flag of INSTALL and SEND: a FIN follows `limit`.
pub const FIN: u8 = 1;
/// Flag of RESEND: one segment only, SND.NXT stays.
pub const RESEND_ONE: u8 = 1;
/// Flag of RAW: fill in a checksum.
pub const RAW_CHECKSUM: u8 = 1;

/// A piece of a command's words.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Name, as in `docs/engine.md`.
    pub name: &'static str,
    /// Word of the command, 1 to 7 (a 64-bit piece goes on in the next).
    pub word: usize,
    /// Lowest bit in that word.
    pub low: u32,
    /// Bits: 4, 5, 8, 16, 32, or 48 and 64 over two words.
    pub width: u32,
}

const fn piece(name: &'static str, word: usize, low: u32, width: u32) -> Piece {
    Piece { name, word, low, width }
}

macro_rules! pieces {
    ($($table:ident $opcode:ident { $($name:ident $text:literal $word:literal [$low:literal +$width:literal];)* })*) => {
        $(
            $(
                #[doc = concat!("`", $text, "` of ", stringify!($opcode), ".")]
                pub const $name: Piece = piece($text, $word, $low, $width);
            )*
            #[doc = concat!("Pieces of ", stringify!($opcode), ".")]
            pub const $table: &[Piece] = &[$($name),*];
            const _: () = check($table);
        )*
        /// Pieces by opcode, for the document and for tests.
        pub const LAYOUT: &[(Opcode, &[Piece])] = &[$((Opcode::$opcode, $table)),*];
    };
}

pieces! {
    ADDRESS Address {
        ADDRESS_REMOTE_MAC "remote_mac" 1 [0 +48];
        ADDRESS_VLAN_TCI "vlan" 2 [16 +16];
        ADDRESS_LOCAL_IP "local_ip" 3 [0 +32];
        ADDRESS_REMOTE_IP "remote_ip" 4 [0 +32];
        ADDRESS_LOCAL_PORT "local_port" 5 [0 +16];
        ADDRESS_REMOTE_PORT "remote_port" 5 [16 +16];
    }
    RINGS Rings {
        RINGS_RECEIVE_BASE "receive_base" 1 [0 +64];
        RINGS_SEND_BASE "send_base" 3 [0 +64];
        RINGS_RECEIVE_LOG2 "receive_log2" 5 [0 +5];
        RINGS_SEND_LOG2 "send_log2" 5 [8 +5];
        RINGS_SND_WSCALE "snd_wscale" 5 [16 +4];
        RINGS_RCV_WSCALE "rcv_wscale" 5 [20 +4];
        RINGS_SND_MSS "snd_mss" 6 [0 +16];
        RINGS_RCV_MSS "rcv_mss" 6 [16 +16];
        RINGS_TS_OFFSET "ts_offset" 7 [0 +32];
    }
    RECEIVE Receive {
        RECEIVE_RCV_NXT "rcv_nxt" 1 [0 +32];
        RECEIVE_RCV_ADV "rcv_adv" 2 [0 +32];
        RECEIVE_RCV_CONSUMED "rcv_consumed" 3 [0 +32];
        RECEIVE_TS_RECENT "ts_recent" 4 [0 +32];
    }
    INSTALL Install {
        INSTALL_SND_UNA "snd_una" 1 [0 +32];
        INSTALL_SND_NXT "snd_nxt" 2 [0 +32];
        INSTALL_LIMIT "limit" 3 [0 +32];
        INSTALL_SND_WND "snd_wnd" 4 [0 +32];
        INSTALL_SND_WL1 "snd_wl1" 5 [0 +32];
        INSTALL_SND_WL2 "snd_wl2" 6 [0 +32];
        INSTALL_CWND "cwnd" 7 [0 +32];
    }
    SEND Send {
        SEND_LIMIT "limit" 1 [0 +32];
    }
    CONSUMED Consumed {
        CONSUMED_RCV_CONSUMED "rcv_consumed" 1 [0 +32];
    }
    CWND Cwnd {
        CWND_CWND "cwnd" 1 [0 +32];
    }
    RESEND Resend {
        RESEND_FROM "from" 1 [0 +32];
    }
    ACK_NOW AckNow {
    }
    REARM_ONLY Rearm {
    }
    REMOVE Remove {
    }
    RAW Raw {
        RAW_IOVA "iova" 1 [0 +64];
        RAW_LENGTH "length" 3 [0 +16];
        RAW_CHECKSUM_START "checksum_start" 4 [0 +16];
        RAW_CHECKSUM_OFFSET "checksum_offset" 4 [16 +16];
    }
    INJECT Inject {
        INJECT_IOVA "iova" 1 [0 +64];
        INJECT_LENGTH "length" 3 [0 +16];
    }
}

/// Fails the build on pieces that overlap or do not fit.
const fn check(table: &[Piece]) {
    let mut seen = [0u32; WORDS];
    let mut i = 0;
    while i < table.len() {
        let p = &table[i];
        let mut bit = 0;
        while bit < p.width {
            let at = p.low + bit;
            let word = p.word + (at / 32) as usize;
            assert!(word >= 1 && word < WORDS, "a piece lies outside its command");
            assert!(seen[word] & (1 << (at % 32)) == 0, "two pieces overlap");
            seen[word] |= 1 << (at % 32);
            bit += 1;
        }
        i += 1;
    }
}

/// A command being made or read: eight words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Command(pub [u32; WORDS]);

impl Command {
    /// A command with all pieces zero.
    pub fn new(opcode: Opcode, flow: u16, flags: u8) -> Command {
        let mut words = [0; WORDS];
        words[0] = opcode as u32 | u32::from(flags) << 8 | u32::from(flow) << 16;
        Command(words)
    }
    /// Sets a piece; bits that do not fit are cut off.
    #[must_use]
    pub fn with(mut self, piece: Piece, value: u64) -> Command {
        for bit in 0..piece.width {
            let at = piece.low + bit;
            let word = &mut self.0[piece.word + (at / 32) as usize];
            *word = *word & !(1 << (at % 32)) | (((value >> bit) & 1) as u32) << (at % 32);
        }
        self
    }
    /// A piece's value.
    pub fn get(&self, piece: Piece) -> u64 {
        (0..piece.width).fold(0, |v, bit| {
            let at = piece.low + bit;
            v | u64::from(self.0[piece.word + (at / 32) as usize] >> (at % 32) & 1) << bit
        })
    }
    /// The opcode, if it is one.
    pub fn opcode(&self) -> Option<Opcode> {
        Opcode::from_u8(self.0[0].to_le_bytes()[0])
    }
    /// The flags.
    pub fn flags(&self) -> u8 {
        self.0[0].to_le_bytes()[1]
    }
    /// The flow's number.
    pub fn flow(&self) -> u16 {
        (self.0[0] >> 16) as u16
    }
    /// As it lies in memory.
    pub fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
    /// From memory.
    pub fn from_bytes(bytes: [u8; SIZE]) -> Command {
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
        Command(words)
    }
}
