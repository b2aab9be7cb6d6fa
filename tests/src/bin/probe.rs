//! A client that measures what other clients do not show: how long nothing came back.
//!
//! `probe gap ADDRESS:PORT SECONDS` writes a numbered message every millisecond on one TCP
//! connection to an echo server and prints the longest time without an answer, as JSON.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["gap", address, seconds] => gap(address, seconds),
        _ => Err("usage: probe gap ADDRESS:PORT SECONDS".into()),
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn gap(address: &str, seconds: &str) -> Result<String> {
    let address: SocketAddr = address.parse()?;
    let duration = Duration::from_secs(seconds.parse()?);
    let mut writer = TcpStream::connect(address)?;
    writer.set_nodelay(true)?;
    let mut reader = writer.try_clone()?;
    reader.set_read_timeout(Some(Duration::from_secs(10)))?;
    println!("connected");
    let listener = std::thread::spawn(move || -> std::io::Result<(u64, Duration)> {
        let (mut longest, mut last, mut count) = (Duration::ZERO, Instant::now(), 0);
        let mut message = [0; 8];
        loop {
            match reader.read_exact(&mut message) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok((count, longest)),
                Err(error) => return Err(error),
            }
            if u64::from_be_bytes(message) != count {
                return Err(std::io::Error::other(format!("answer {count} is wrong: {message:?}")));
            }
            count += 1;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    });
    let start = Instant::now();
    let mut sent = 0u64;
    while start.elapsed() < duration {
        writer.write_all(&sent.to_be_bytes())?;
        sent += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    writer.shutdown(std::net::Shutdown::Write)?;
    let (received, longest) = listener.join().map_err(|_| "the reader panicked")??;
    Ok(format!(r#"{{"sent": {sent}, "received": {received}, "longest_gap_us": {}}}"#, longest.as_micros()))
}
