//! Bytes from a device, against the driver and the stack above it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| toe_fuzz::driver_device::run(data));
