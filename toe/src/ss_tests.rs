use super::*;

fn row(state: &str, port: u16, in_state: f64) -> Row {
    Row {
        state: state.into(),
        receive_queue: 5,
        send_queue: 7,
        local: "10.0.0.2:80".parse().expect("an address"),
        remote: std::net::SocketAddrV4::new([10, 0, 0, 1].into(), port),
        age: 12.0,
        in_state,
        retransmit_in: Some(0.2),
        ends_in: None,
        srtt: None,
        cwnd: None,
        flow: Some(1),
    }
}

/// S23: sockets are filtered by state and port, and CLOSE_WAIT that piles up is warned of.
#[test]
fn s23_sockets_are_listed_filtered_and_forgotten_ones_are_warned_of() {
    let mut rows = vec![row("ESTABLISHED", 1, 1.0), row("TIME_WAIT", 2, 1.0)];
    let lines = |text: &str| text.lines().count() - 1;
    assert_eq!(lines(&table(&rows, &[], None)), 2);
    assert!(table(&rows, &[], None).contains("retransmit in 0.200 s"));
    assert_eq!(lines(&table(&rows, &["time-wait".into()], None)), 1);
    assert_eq!(lines(&table(&rows, &[], Some(1))), 1);
    assert_eq!(lines(&table(&rows, &[], Some(80))), 2);
    rows.extend((10..18).map(|port| row("CLOSE_WAIT", port, f64::from(port))));
    let text = table(&rows, &["ESTABLISHED".into()], None);
    assert!(text.contains("warning: 8 sockets in CLOSE_WAIT, the oldest for 17.0 s"), "{text}");
    rows.pop();
    assert!(!table(&rows, &[], None).contains("warning"));
}
