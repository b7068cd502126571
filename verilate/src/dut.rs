//! A compiled design that runs.

use crate::compile::{shared, Options};
use crate::error::Error;
use crate::recording::{Recording, Replay};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_void, CStr, CString};
use std::path::Path;
use std::ptr::NonNull;

/// The table of functions that a compiled model hands out; its twin is in `shim.cpp`.
#[repr(C)]
pub struct Api {
    count: u32,
    ports: *const PortEntry,
    create: unsafe extern "C" fn(u32) -> *mut c_void,
    destroy: unsafe extern "C" fn(*mut c_void),
    eval: unsafe extern "C" fn(*mut c_void),
    fall: unsafe extern "C" fn(*mut c_void),
    rise: unsafe extern "C" fn(*mut c_void),
    tick: unsafe extern "C" fn(*mut c_void),
    addresses: unsafe extern "C" fn(*mut c_void, *mut *mut c_void),
    wave_open: unsafe extern "C" fn(*mut c_void, *const c_char) -> i32,
    wave_close: unsafe extern "C" fn(*mut c_void),
}

#[repr(C)]
struct PortEntry {
    name: *const c_char,
    width: u32,
    output: u32,
    bytes: u32,
}

/// Which way a port goes, seen from the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Driven from outside.
    Input,
    /// Driven by the design.
    Output,
}

/// A port of a design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// Name, with dots for the `$` of the Verilog.
    pub name: String,
    /// Bits.
    pub width: u32,
    /// Which way.
    pub direction: Direction,
}

/// A port that has been looked up: see [`Dut::port`]. It belongs to that `Dut`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(usize);

/// What names a port: a [`Port`] that was looked up, or the name itself, looked up each time.
pub trait Pin {
    /// The port.
    ///
    /// # Panics
    /// If the design has no such port; the message lists those it has.
    fn of(self, dut: &Dut) -> Port;
}

impl Pin for Port {
    #[inline]
    fn of(self, _: &Dut) -> Port {
        self
    }
}

impl Pin for &str {
    fn of(self, dut: &Dut) -> Port {
        dut.port(self)
    }
}

/// Where a port's value lies in the model.
#[derive(Clone, Copy)]
struct Place {
    address: NonNull<c_void>,
    width: u32,
    /// Bytes of the integer there; 0 for an array of 32-bit words.
    bytes: u32,
    output: bool,
}

/// A design in Verilator.
pub struct Dut {
    model: NonNull<c_void>,
    api: &'static Api,
    places: Vec<Place>,
    ports: Vec<PortInfo>,
    names: BTreeMap<String, usize>,
    cycles: u64,
    /// Holds the model's code: dropped after `drop` has ended the model.
    library: Option<libloading::Library>,
}

// SAFETY: a model has a context of its own and no ties to a thread; only one owner calls it at a time.
unsafe impl Send for Dut {}

impl Dut {
    /// Compiles Verilog, or finds it compiled, and makes a model of it. Its inputs are 0.
    ///
    /// # Errors
    /// What Verilator or the compiler said.
    pub fn build(top: &str, verilog: &str, options: &Options) -> Result<Dut, Error> {
        Dut::seeded(top, verilog, options, 1)
    }

    /// As [`Dut::build`], with a seed for the initial values ([`Options::x_unique`]).
    ///
    /// # Errors
    /// What Verilator or the compiler said.
    pub fn seeded(top: &str, verilog: &str, options: &Options, seed: u32) -> Result<Dut, Error> {
        let path = shared(top, verilog, options)?;
        // SAFETY: the library was made by `shared` from Verilator's output; its constructors only set up tables.
        let library = unsafe { libloading::Library::new(path) }?;
        // SAFETY: the shim defines this function with this signature.
        let api = unsafe { library.get::<unsafe extern "C" fn() -> *const Api>(b"toe_verilated_api\0") }.map(|f| *f)?;
        // SAFETY: the table is a constant of the library, which the `Dut` keeps loaded.
        let mut dut = unsafe { Dut::from_table(api(), seed) };
        dut.library = Some(library);
        Ok(dut)
    }

    /// A model that [`crate::build_static`] linked into this program.
    ///
    /// # Safety
    /// `api` is the function `toe_api_TOP` of such a library.
    pub unsafe fn linked(api: unsafe extern "C" fn() -> *const Api, seed: u32) -> Dut {
        // SAFETY: by contract the function hands out a constant of this program.
        unsafe { Dut::from_table(api(), seed) }
    }

    /// # Safety
    /// `api` points to a table made by the shim that outlives the `Dut`.
    unsafe fn from_table(api: *const Api, seed: u32) -> Dut {
        // SAFETY: by contract.
        let api: &'static Api = unsafe { &*api };
        let count = api.count as usize;
        let entries = match count {
            0 => &[],
            // SAFETY: `count` entries are behind the pointer.
            _ => unsafe { std::slice::from_raw_parts(api.ports, count) },
        };
        // SAFETY: the function makes a model; it takes any seed.
        let model = NonNull::new(unsafe { (api.create)(seed) }).expect("operator new throws rather than give null");
        let mut addresses = vec![std::ptr::null_mut(); count];
        // SAFETY: it writes `count` addresses.
        unsafe { (api.addresses)(model.as_ptr(), addresses.as_mut_ptr()) };
        let places = entries.iter().zip(addresses).map(|(e, address)| Place {
            address: NonNull::new(address).expect("members of a model have addresses"),
            width: e.width,
            bytes: e.bytes,
            output: e.output != 0,
        });
        let ports: Vec<PortInfo> = entries.iter().map(info).collect();
        let names = ports.iter().enumerate().map(|(k, p)| (p.name.clone(), k)).collect();
        let mut dut = Dut { model, api, places: places.collect(), ports, names, cycles: 0, library: None };
        // Random initial values are for what is inside: some Verilators give them to the inputs too.
        for port in 0..count {
            if !dut.places[port].output {
                dut.set_wide(Port(port), &[]);
            }
        }
        dut
    }

    /// The design's ports.
    pub fn ports(&self) -> &[PortInfo] {
        &self.ports
    }

    /// Looks a port up by its name, with dots (or `$`) between interface and field.
    ///
    /// # Panics
    /// If there is none; the message lists those there are.
    pub fn port(&self, name: &str) -> Port {
        let found = self.names.get(name).or_else(|| self.names.get(&name.replace('$', ".")));
        let Some(k) = found else {
            let all: Vec<&str> = self.names.keys().map(String::as_str).collect();
            panic!("no port `{name}`; there are {}", all.join(", "));
        };
        Port(*k)
    }

    /// Sets an input of up to 64 bits, or the low 64 of a wider one with zeros above.
    ///
    /// # Panics
    /// If the value does not fit, or the port is an output.
    #[inline]
    pub fn set(&mut self, pin: impl Pin, value: u64) {
        let port = pin.of(self);
        let place = self.input(port);
        if place.width < 64 && value >> place.width != 0 {
            panic!("{value:#x} does not fit the {} bits of `{}`", place.width, self.ports[port.0].name);
        }
        let at = place.address.as_ptr();
        // The value fits, as checked above.
        #[allow(clippy::cast_possible_truncation)]
        // SAFETY: the address is that of an integer of so many bytes in the model, which lives as long as `self`.
        unsafe {
            match place.bytes {
                1 => *at.cast::<u8>() = value as u8,
                2 => *at.cast::<u16>() = value as u16,
                4 => *at.cast::<u32>() = value as u32,
                8 => *at.cast::<u64>() = value,
                _ => self.set_words(place, &[value]),
            }
        }
    }

    /// Sets an input of any width from words of 64 bits, the lowest first; those not given are zero.
    ///
    /// # Panics
    /// If the value does not fit, or the port is an output.
    pub fn set_wide(&mut self, pin: impl Pin, words: &[u64]) {
        let port = pin.of(self);
        let place = self.input(port);
        if place.bytes != 0 {
            assert!(words.iter().skip(1).all(|w| *w == 0), "a value too wide for `{}`", self.ports[port.0].name);
            return self.set(port, words.first().copied().unwrap_or(0));
        }
        let bits = place.width as usize;
        let fits = words.iter().enumerate().all(|(k, w)| match bits.checked_sub(64 * k) {
            Some(0) | None => *w == 0,
            Some(room) => room >= 64 || w >> room == 0,
        });
        assert!(fits, "a value too wide for `{}`", self.ports[port.0].name);
        self.set_words(place, words);
    }

    /// The value of a port of up to 64 bits.
    ///
    /// # Panics
    /// If it is wider.
    #[inline]
    pub fn get(&self, pin: impl Pin) -> u64 {
        let port = pin.of(self);
        let place = self.places[port.0];
        let at = place.address.as_ptr();
        // SAFETY: the address is that of an integer of so many bytes in the model, which lives as long as `self`.
        unsafe {
            match place.bytes {
                1 => u64::from(*at.cast::<u8>()),
                2 => u64::from(*at.cast::<u16>()),
                4 => u64::from(*at.cast::<u32>()),
                8 => *at.cast::<u64>(),
                _ => panic!("`{}` has {} bits: use get_wide", self.ports[port.0].name, place.width),
            }
        }
    }

    /// The value of a port of any width, in words of 64 bits, the lowest first.
    pub fn get_wide(&self, pin: impl Pin) -> Vec<u64> {
        let port = pin.of(self);
        let place = self.places[port.0];
        if place.bytes != 0 {
            return vec![self.get(port)];
        }
        let count = (place.width as usize).div_ceil(32);
        // SAFETY: a wide port is an array of so many 32-bit words in the model, which lives as long as `self`.
        let words = unsafe { std::slice::from_raw_parts(place.address.as_ptr().cast::<u32>(), count) };
        let pair = |p: &[u32]| u64::from(p[0]) | p.get(1).map_or(0, |high| u64::from(*high) << 32);
        words.chunks(2).map(pair).collect()
    }

    /// Lets changed inputs reach the outputs that depend on them within the cycle.
    pub fn eval(&mut self) {
        // SAFETY: the model is alive.
        unsafe { (self.api.eval)(self.model.as_ptr()) }
    }

    /// One cycle of the port `clock`. What was set before is sampled at its rising edge; the outputs are then
    /// those after the edge. A design without a clock is evaluated.
    #[inline]
    pub fn tick(&mut self) {
        // SAFETY: the model is alive.
        unsafe { (self.api.tick)(self.model.as_ptr()) }
        self.cycles += 1;
    }

    /// First half of a cycle: the outputs are then what the rising edge will find with the inputs as they are set.
    #[inline]
    pub fn fall(&mut self) {
        // SAFETY: the model is alive.
        unsafe { (self.api.fall)(self.model.as_ptr()) }
    }

    /// Second half of a cycle: the rising edge. Inputs must not have been changed since [`Dut::fall`].
    #[inline]
    pub fn rise(&mut self) {
        // SAFETY: the model is alive.
        unsafe { (self.api.rise)(self.model.as_ptr()) }
        self.cycles += 1;
    }

    /// Plays a recording to the model in a bare C++ loop.
    ///
    /// # Safety
    /// `replay` is the function `toe_api_TOP_replay` of the library that the model is of, and the recording is of a model of the same design.
    pub unsafe fn replay(&mut self, replay: Replay, recording: &Recording) {
        let (cycles, counts, changes) = recording.parts();
        // SAFETY: the model is alive; there is a count for each cycle, and there are as many changes as they say.
        unsafe { replay(self.model.as_ptr(), cycles, counts, changes) }
        self.cycles += cycles;
    }

    /// Cycles so far.
    pub fn cycles(&self) -> u64 {
        self.cycles
    }

    /// Writes a wave (VCD) from here on: 6400 ps a cycle. The design must be compiled with [`Options::trace`].
    ///
    /// # Errors
    /// If it is not, or the file cannot be written.
    pub fn open_wave(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let failed = |why: &str| Error::File { path: path.to_path_buf(), source: std::io::Error::other(why) };
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| failed("a path with a zero byte"))?;
        // SAFETY: the model is alive, the name is a C string.
        match unsafe { (self.api.wave_open)(self.model.as_ptr(), name.as_ptr()) } {
            0 => Ok(()),
            1 => Err(failed("the design was compiled without Options::trace")),
            _ => Err(failed("cannot be written")),
        }
    }

    /// Ends the wave.
    pub fn close_wave(&mut self) {
        // SAFETY: the model is alive.
        unsafe { (self.api.wave_close)(self.model.as_ptr()) }
    }

    #[inline]
    fn input(&self, port: Port) -> Place {
        let place = self.places[port.0];
        assert!(!place.output, "`{}` is an output", self.ports[port.0].name);
        place
    }

    fn set_words(&mut self, place: Place, words: &[u64]) {
        let count = (place.width as usize).div_ceil(32);
        // SAFETY: a wide port is an array of so many 32-bit words in the model, borrowed mutably by `self`.
        let target = unsafe { std::slice::from_raw_parts_mut(place.address.as_ptr().cast::<u32>(), count) };
        for (k, word) in target.iter_mut().enumerate() {
            let value = words.get(k / 2).copied().unwrap_or(0) >> (32 * (k % 2));
            *word = u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
        }
    }
}

fn info(entry: &PortEntry) -> PortInfo {
    // SAFETY: the shim's table holds string literals.
    let name = unsafe { CStr::from_ptr(entry.name) }.to_string_lossy().replace('$', ".");
    let direction = if entry.output != 0 { Direction::Output } else { Direction::Input };
    PortInfo { name, width: entry.width, direction }
}

impl Drop for Dut {
    fn drop(&mut self) {
        // SAFETY: the model is alive and is not used again; its library is unloaded after this.
        unsafe { (self.api.destroy)(self.model.as_ptr()) }
    }
}
