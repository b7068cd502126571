//! The host's side of the TCP offload engine.
//!
//! ```text
//!  socket     TcpListener, TcpStream: the shape of std::net              application's threads
//!  ------------------------------------------------------- "look" by channel, bytes by DMA memory
//!  stack      one device, one thread: who is who, what is due
//!  tcp        the connection's life, pure     slow_path   ARP, ICMP, fragments, pure
//! ```
//!
//! ```no_run
//! # fn echo(nic: toe_driver::Nic) -> Result<(), Box<dyn std::error::Error>> {
//! use std::io::{Read, Write};
//! use toe_host_lib::{Config, Stack, TcpListener};
//!
//! let stack = Stack::new(nic, Config::default())?.spawn()?;
//! let listener = TcpListener::bind(&stack.handle(), 7)?;
//! let (mut stream, _peer) = listener.accept()?;
//! let mut buffer = [0; 4096];
//! let n = stream.read(&mut buffer)?;
//! stream.write_all(&buffer[..n])?;
//! # Ok(())
//! # }
//! ```

mod config;
pub mod log;
pub mod slow_path;
pub mod socket;
pub mod stack;
pub mod tcp;
pub mod time;

pub use config::Config;
pub use log::LifeLog;
pub use socket::{TcpListener, TcpStream};
pub use stack::{Handle, SocketInfo, Stack, StackError, StackThread, Statistics};
