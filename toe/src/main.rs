//! The program `toe`.

#[cfg(test)]
mod http;
fn main() {}
