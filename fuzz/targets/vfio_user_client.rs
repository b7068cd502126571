//! A server of vfio-user, against the driver's bus.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| toe_fuzz::vfio_user_client::run(data));
