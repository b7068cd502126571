//! An echo server on a device: the smallest application there is.
//!
//!     toe device --socket /tmp/toe.sock --wire tap:toe0 &
//!     cargo run -p toe-host-lib --example echo -- --device vfio-user:/tmp/toe.sock --address 10.0.0.2
//!     nc 10.0.0.2 7

use clap::Parser;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use toe_driver::transport::Transport;
use toe_driver::{Nic, NicConfig};
use toe_host_lib::{Config, Stack, TcpListener, TcpStream};

/// Sends back what it receives (RFC 862), over a device behind any transport.
#[derive(Parser)]
struct Arguments {
    /// vfio-user:PATH (a `toe device` that listens there) or vfio:BDF (a card bound to vfio-pci)
    #[arg(long)]
    device: Transport,
    /// Our address, in a network of 24 bits
    #[arg(long)]
    address: Ipv4Addr,
    /// The port to listen on
    #[arg(long, default_value_t = 7)]
    port: u16,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let nic = Nic::open(arguments.device.open()?, NicConfig { hash_key: rand::random(), ..NicConfig::default() })?;
    let stack = Stack::new(nic, Config { address: arguments.address, ..Config::default() })?.spawn()?;
    let listener = TcpListener::bind(&stack.handle(), arguments.port)?;
    println!("echo at {}:{} over {}", arguments.address, arguments.port, arguments.device);
    loop {
        let (stream, peer) = listener.accept()?;
        std::thread::spawn(move || match echo(stream) {
            Ok(bytes) => println!("{peer}: {bytes} bytes"),
            Err(error) => println!("{peer}: {error}"),
        });
    }
}

/// Until the client closes; dropping the stream closes this end.
fn echo(mut stream: TcpStream) -> std::io::Result<u64> {
    let mut buffer = [0; 16 << 10];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            n => {
                stream.write_all(&buffer[..n])?;
                bytes += n as u64;
            }
        }
    }
}
