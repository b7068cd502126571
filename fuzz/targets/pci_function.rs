//! A client of vfio-user, against the simulated NIC.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| toe_fuzz::pci_function::run(data));
