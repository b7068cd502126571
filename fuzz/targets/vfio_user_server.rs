//! Bytes from a client, against the vfio-user server.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| toe_fuzz::vfio_user_server::run(data));
