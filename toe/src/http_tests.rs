use super::{fetch, find, serve_connection};
use std::io::{self, Read, Write};
use std::path::Path;

/// A client that says one thing, and hears what is answered.
struct Script {
    asks: io::Cursor<Vec<u8>>,
    heard: Vec<u8>,
}
impl Read for Script {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.asks.read(to)
    }
}
impl Write for Script {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.heard.extend_from_slice(from);
        Ok(from.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("served")).expect("a folder in it");
    std::fs::write(folder.path().join("served/a b.txt"), "hello").expect("a file in that");
    std::fs::write(folder.path().join("secret"), "no").expect("a file beside it");
    folder
}

fn ask(request: &str) -> (io::Result<u64>, String) {
    let folder = folder();
    let mut script = Script { asks: io::Cursor::new(request.as_bytes().to_vec()), heard: Vec::new() };
    let answered = serve_connection(&mut script, &folder.path().join("served"));
    (answered, String::from_utf8_lossy(&script.heard).into_owned())
}

#[test]
fn two_requests_on_one_connection_are_both_answered() {
    let folder = folder();
    let mut stream = Slow(Script { asks: io::Cursor::new(b"GET /a%20b.txt HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2)), heard: Vec::new() });
    assert_eq!(serve_connection(&mut stream, &folder.path().join("served")).expect("served"), 2);
    let heard = String::from_utf8_lossy(&stream.0.heard).into_owned();
    assert_eq!(heard.matches("200 OK").count(), 2);
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n") && heard.contains("Content-Type: text/plain") && heard.ends_with("\r\n\r\nhello"), "{heard}");
}

/// Gives one byte at a time.
struct Slow(Script);
impl Read for Slow {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut to[..1])
    }
}
impl Write for Slow {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(&from[..from.len().min(3)])
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn head_close_and_refusals() {
    let (_, heard) = ask("HEAD /a%20b.txt HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(heard.contains("Content-Length: 5") && heard.contains("Connection: close") && heard.ends_with("\r\n\r\n"), "{heard}");
    for (request, status) in [
        ("GET /none HTTP/1.1\r\n\r\n", "404"),
        ("GET /../secret HTTP/1.1\r\n\r\n", "404"),
        ("GET /%2e%2e/secret HTTP/1.1\r\n\r\n", "404"),
        ("GET /%zz HTTP/1.1\r\n\r\n", "404"),
        ("PUT /a HTTP/1.1\r\n\r\n", "405"),
        ("no http at all\r\n\r\n", "400"),
    ] {
        let (answered, heard) = ask(request);
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?} was answered {heard:?}");
        assert_eq!(answered.expect("answered"), 1);
    }
}

#[test]
fn a_head_without_end_is_an_error_and_not_memory_without_end() {
    assert!(ask(&"x".repeat(100_000)).0.is_err());
    assert!(ask("GET / HTT").0.is_err());
    assert_eq!(ask("").0.expect("an empty connection is none"), 0);
}

#[test]
fn links_do_not_lead_out_of_the_folder() {
    let folder = folder();
    let served = folder.path().join("served");
    std::os::unix::fs::symlink(folder.path().join("secret"), served.join("link")).expect("a link");
    assert_eq!(find(&served, "/link"), None);
    assert_eq!(find(Path::new("/does/not/exist"), "/"), None);
}

#[test]
fn the_client_reads_the_body_and_says_what_is_wrong() {
    let get = |answer: &str| {
        let mut script = Script { asks: io::Cursor::new(answer.as_bytes().to_vec()), heard: Vec::new() };
        let mut body = Vec::new();
        let length = fetch(&mut script, "h", "/x", true, |b| body.extend_from_slice(b));
        (length.map_err(|e| format!("{e:#}")), body)
    };
    assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), (Ok(3), b"abc".to_vec()));
    for (answer, says) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", "expected 4 bytes, found 3"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", "expected 2 bytes, found 3"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "expected 200, found 404"),
        ("HTTP/1.1 200 OK\r\n\r\n", "no Content-Length"),
        ("", "without an answer"),
    ] {
        let error = get(answer).0.expect_err(answer);
        assert!(error.contains(says), "{answer:?}: {error}");
    }
}
