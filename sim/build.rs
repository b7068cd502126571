//! Prints the engine's Verilog and compiles it into a static library (feature `rtl`).

fn main() {
    #[cfg(feature = "rtl")]
    if let Err(error) = rtl() {
        println!("cargo::error={error}");
    }
}

#[cfg(feature = "rtl")]
fn rtl() -> Result<(), Box<dyn std::error::Error>> {
    let top = toe_hdl::modules::find("top").ok_or("toe-hdl has no module `top`");
    let Ok(top) = top else { return Ok(()) };
    let verilog = top.print()?.to_string();
    let options = toe_verilate::Options { trace: true, optimise: true, ..Default::default() };
    toe_verilate::build_static("top", &verilog, &options)?;
    Ok(())
}
