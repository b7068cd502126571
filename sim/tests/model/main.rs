//! Each rule of `docs/engine.md` by name, shown with the model through its registers, rings and wire.

mod bench;
mod command;
mod ring;
mod segment_ack;
mod segment_data;
mod send;
mod sort;
mod window;
