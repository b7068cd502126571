//! HTTP/1.1, as much of it as a file server and its client need (RFC 9112), over any byte stream.

use anyhow::{bail, Context, Result};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

/// Longest head of a request or response, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// Bytes copied at once.
const CHUNK: usize = 64 << 10;

/// A message's head, and what was read beyond it.
struct Head {
    text: Vec<u8>,
    rest: Vec<u8>,
}

/// Reads up to the empty line. `None`: the stream ended before a first byte.
fn read_head(stream: &mut impl Read) -> io::Result<Option<Head>> {
    let mut text = Vec::new();
    let mut chunk = [0; 2048];
    loop {
        if let Some(end) = text.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = text.split_off(end + 4);
            return Ok(Some(Head { text, rest }));
        }
        if text.len() > LONGEST_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a head of at most {LONGEST_HEAD} bytes was expected")));
        }
        match stream.read(&mut chunk)? {
            0 if text.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => text.extend_from_slice(&chunk[..n]),
        }
    }
}

/// What a client asked for.
struct Request {
    head_only: bool,
    target: String,
    close: bool,
}

/// The request in a head, or the status that answers a bad one.
fn parse_request(head: &[u8]) -> Result<Request, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err("400 Bad Request"),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else { return Err("400 Bad Request") };
    let connection = header(request.headers, "connection").unwrap_or_default();
    let close = if version == 0 { !connection.eq_ignore_ascii_case("keep-alive") } else { connection.eq_ignore_ascii_case("close") };
    match method {
        "GET" | "HEAD" => Ok(Request { head_only: method == "HEAD", target: target.to_owned(), close }),
        _ => Err("405 Method Not Allowed"),
    }
}

fn header(headers: &[httparse::Header<'_>], name: &str) -> Option<String> {
    headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| String::from_utf8_lossy(h.value).trim().to_owned())
}

/// Serves the requests of one connection from a folder, until the client or the protocol ends it. Gives how many were answered.
///
/// # Errors
/// The stream fails.
pub(crate) fn serve_connection(stream: &mut (impl Read + Write), folder: &Path) -> io::Result<u64> {
    let mut answered = 0;
    while let Some(head) = read_head(stream)? {
        answered += 1;
        match parse_request(&head.text) {
            Ok(request) => {
                answer(stream, folder, &request)?;
                // A body, or a request sent ahead, is not expected of a client that fetches files.
                if request.close || !head.rest.is_empty() {
                    break;
                }
            }
            Err(status) => {
                respond_text(stream, status, false)?;
                break;
            }
        }
    }
    Ok(answered)
}

fn answer(stream: &mut impl Write, folder: &Path, request: &Request) -> io::Result<()> {
    let Some(path) = find(folder, &request.target) else { return respond_text(stream, "404 Not Found", request.head_only) };
    let Ok(mut file) = File::open(&path) else { return respond_text(stream, "404 Not Found", request.head_only) };
    let length = file.metadata()?.len();
    let kind = mime_guess::from_path(&path).first_or_octet_stream();
    let close = if request.close { "Connection: close\r\n" } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\nServer: toe\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{close}\r\n");
    stream.write_all(head.as_bytes())?;
    if !request.head_only {
        let mut chunk = vec![0; CHUNK];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).map_or(CHUNK, |n| n.min(CHUNK));
            match file.read(&mut chunk[..most])? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} became shorter while it was sent", path.display()))),
                n => {
                    stream.write_all(&chunk[..n])?;
                    left -= n as u64;
                }
            }
        }
    }
    stream.flush()
}

fn respond_text(stream: &mut impl Write, status: &str, head_only: bool) -> io::Result<()> {
    let body = format!("{status}\n");
    let head = format!("HTTP/1.1 {status}\r\nServer: toe\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let answer = if head_only { head } else { head + &body };
    stream.write_all(answer.as_bytes())?;
    stream.flush()
}

/// The file below `folder` that a target names; never one outside of it.
fn find(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = decode(target.split(['?', '#']).next()?)?;
    let inside = Path::new(path.trim_start_matches('/'));
    if inside.components().any(|c| !matches!(c, Component::Normal(_))) {
        return None;
    }
    let root = folder.canonicalize().ok()?;
    let mut found = root.join(inside).canonicalize().ok()?;
    if found.is_dir() {
        found = found.join("index.html").canonicalize().ok()?;
    }
    (found.starts_with(&root) && found.is_file()).then_some(found)
}

/// Percent-decoding (RFC 3986 section 2.1).
fn decode(text: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(b) = bytes.next() {
        out.push(if b == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
        } else {
            b
        });
    }
    String::from_utf8(out).ok().filter(|s| !s.contains('\0'))
}

/// Asks for one file and gives its body to `body`, piece by piece. With `close`, the server is asked to close first.
///
/// # Errors
/// The stream fails, or the answer is not "200 OK" with a length.
pub(crate) fn fetch(stream: &mut (impl Read + Write), host: &str, target: &str, close: bool, mut body: impl FnMut(&[u8])) -> Result<u64> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: toe\r\n{connection}\r\n");
    stream.write_all(request.as_bytes()).context("sending the request")?;
    let head = read_head(stream).context("reading the answer's head")?.context("the server closed the connection without an answer")?;
    let length = parse_response(&head.text)?;
    let mut left = length;
    let mut chunk = vec![0; CHUNK];
    let first = head.rest.len() as u64;
    if first > left {
        bail!("the answer's body: expected {left} bytes, found {first}");
    }
    body(&head.rest);
    left -= first;
    while left > 0 {
        let most = usize::try_from(left).map_or(CHUNK, |n| n.min(CHUNK));
        match stream.read(&mut chunk[..most]).context("reading the answer's body")? {
            0 => bail!("the answer's body: expected {length} bytes, found {} before the end of the stream", length - left),
            n => {
                body(&chunk[..n]);
                left -= n as u64;
            }
        }
    }
    Ok(length)
}

/// The length of the body that follows.
fn parse_response(head: &[u8]) -> Result<u64> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    if !response.parse(head).context("the answer's head")?.is_complete() {
        bail!("the answer's head is not whole");
    }
    if response.code != Some(200) {
        bail!("the answer: expected 200, found {} {}", response.code.unwrap_or(0), response.reason.unwrap_or(""));
    }
    let length = header(response.headers, "content-length").context("the answer has no Content-Length")?;
    length.parse().with_context(|| format!("the answer's Content-Length: expected a number, found {length:?}"))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
