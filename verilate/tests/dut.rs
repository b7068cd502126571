//! The harness itself: ports of every width, ticks, waves, cached libraries, and what is refused.

use toe_verilate::{Direction, Dut, Error, Options};

const COPY: &str = "module copy(
    input wire clock, input wire [2:0] s$a, input wire [15:0] b, input wire [31:0] c, input wire [63:0] d, input wire [129:0] e,
    output reg [2:0] m$a, output reg [15:0] mb, output reg [31:0] mc, output reg [63:0] md, output reg [129:0] me, output wire any);
    assign any = |s$a;
    always @(posedge clock) begin m$a <= s$a; mb <= b; mc <= c; md <= d; me <= e; end
endmodule\n";

#[test]
fn every_width_goes_in_and_comes_out_after_the_edge() {
    let mut dut = Dut::build("copy", COPY, &Options::default()).unwrap();
    dut.set("s.a", 5);
    dut.set("b", 0xbeef);
    dut.set("c", 0xdead_beef);
    dut.set("d", u64::MAX - 1);
    dut.set_wide("e", &[1, 2, 3]);
    dut.eval();
    assert_eq!((dut.get("any"), dut.get("m.a")), (1, 0), "combinational at once, registers not yet");
    dut.tick();
    assert_eq!((dut.get("m$a"), dut.get("mb"), dut.get("mc"), dut.get("md")), (5, 0xbeef, 0xdead_beef, u64::MAX - 1));
    assert_eq!(dut.get_wide("me"), [1, 2, 3]);
    assert_eq!(dut.get_wide("mb"), [0xbeef]);
    let b = dut.port("b");
    dut.set(b, 7);
    assert_eq!(dut.get("mb"), 0xbeef);
    dut.tick();
    assert_eq!((dut.get("mb"), dut.cycles()), (7, 2));
    let widths: u32 = dut.ports().iter().filter(|p| p.direction == Direction::Input).map(|p| p.width).sum();
    assert_eq!(widths, 1 + 3 + 16 + 32 + 64 + 130);
}

#[test]
#[should_panic(expected = "no port `s.b`; there are any, b, c, clock, d, e, m.a, mb, mc, md, me, s.a")]
fn an_unknown_port_lists_those_there_are() {
    let mut dut = Dut::build("copy", COPY, &Options::default()).unwrap();
    dut.set("s.b", 0);
}

#[test]
#[should_panic(expected = "0x8 does not fit the 3 bits of `s.a`")]
fn a_value_too_wide_is_refused() {
    let mut dut = Dut::build("copy", COPY, &Options::default()).unwrap();
    dut.set("s.a", 8);
}

#[test]
#[should_panic(expected = "a value too wide for `e`")]
fn a_wide_value_too_wide_is_refused() {
    let mut dut = Dut::build("copy", COPY, &Options::default()).unwrap();
    dut.set_wide("e", &[0, 0, 4]);
}

#[test]
fn a_wave_is_written_where_the_model_has_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy.vcd");
    let mut dut = Dut::build("copy", COPY, &Options { trace: true, ..Options::default() }).unwrap();
    dut.open_wave(&path).unwrap();
    dut.set("b", 0x1234);
    dut.tick();
    dut.close_wave();
    let wave = std::fs::read_to_string(&path).unwrap();
    assert!(wave.contains("b0001001000110100"), "{wave}");
    let mut without = Dut::build("copy", COPY, &Options::default()).unwrap();
    assert!(without.open_wave(&path).unwrap_err().to_string().contains("Options::trace"));
}

#[test]
fn unknown_initial_values_are_random_by_seed() {
    let verilog = "module seed(input wire clock, input wire go, output reg [63:0] q); always @(posedge clock) if (go) q <= 0; endmodule\n";
    let first = |seed| Dut::seeded("seed", verilog, &Options { x_unique: true, ..Options::default() }, seed).unwrap().get("q");
    assert_eq!(first(7), first(7));
    assert_ne!(first(7), first(8));
}

/// Each of these must stop a build.
#[test]
fn warnings_that_mean_wrong_hardware_are_errors() {
    for (warning, verilog) in [
        ("LATCH", "module bad(input wire a, input wire b, output reg o); always @(*) if (a) o = b; endmodule\n"),
        ("WIDTH", "module bad(input wire [7:0] a, output wire [3:0] o); assign o = a; endmodule\n"),
        (
            "MULTIDRIVEN",
            "module bad(input wire c, input wire d, input wire a, output reg o); always @(posedge c) o <= a; always @(posedge d) o <= ~a; endmodule\n",
        ),
        ("PROCASSWIRE", "module bad(input wire a, output wire o); always @(*) o = a; endmodule\n"),
        ("UNOPTFLAT", "module bad(input wire a, input wire b, output wire o); wire p, q; assign p = q & a; assign q = p | b; assign o = p; endmodule\n"),
    ] {
        match Dut::build("bad", verilog, &Options::default()) {
            Err(Error::Failed { output, .. }) => assert!(output.contains(warning), "{warning}: {output}"),
            Err(other) => panic!("{warning}: {other}"),
            Ok(_) => panic!("{warning} was accepted"),
        }
    }
}

/// A program that is not ours links the static library and reads how many ports there are.
#[test]
fn a_static_library_links_and_runs() {
    let archive = toe_verilate::build_static("copy", COPY, &Options::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("main.cpp"), dir.path().join("main"));
    // The table begins with the count of ports.
    let text = "#include <cstdint>\nextern \"C\" const uint32_t* toe_api_copy();\nint main() { return toe_api_copy()[0]; }\n";
    std::fs::write(&source, text).unwrap();
    let compiler = toe_verilate::Tools::find().unwrap().compiler;
    let linked = std::process::Command::new(compiler).arg(&source).arg(&archive).arg("-pthread").arg("-o").arg(&program).status().unwrap();
    assert!(linked.success());
    assert_eq!(std::process::Command::new(program).status().unwrap().code(), Some(12));
}

/// In one step, in two halves, and in two halves with a wave: the outcome is the same.
#[test]
fn skipping_the_falling_edge_changes_nothing() {
    let verilog = "module feedback(input wire clock, input wire [31:0] a, input wire clear, output reg [31:0] q, output wire [31:0] next);
        assign next = clear ? 0 : (q << 5) ^ (q >> 3) ^ a;
        always @(posedge clock) q <= next;
    endmodule\n";
    let options = Options { trace: true, ..Options::default() };
    let build = || Dut::build("feedback", verilog, &options).unwrap();
    let (mut quick, mut halves, mut waving) = (build(), build(), build());
    let dir = tempfile::tempdir().unwrap();
    waving.open_wave(dir.path().join("feedback.vcd")).unwrap();
    let mut a = 1u64;
    for cycle in 0..1000 {
        a = a * 1_103_515_245 % 0xffff_fffb;
        for dut in [&mut quick, &mut halves, &mut waving] {
            dut.set("a", a);
            dut.set("clear", u64::from(cycle % 97 == 96));
        }
        quick.tick();
        waving.tick();
        halves.fall();
        halves.rise();
        let seen = [&quick, &halves, &waving].map(|dut| (dut.get("q"), dut.get("next")));
        assert!(seen[0] == seen[1] && seen[0] == seen[2], "cycle {cycle}: {seen:x?}");
    }
    assert_ne!(quick.get("q"), 0);
}
