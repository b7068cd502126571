//! The program `toe`.

#[cfg(test)]
mod follow;
#[cfg(test)]
mod http;
#[cfg(test)]
mod ladder;
fn main() {}
