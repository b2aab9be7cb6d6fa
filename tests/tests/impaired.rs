//! Our TCP and the kernel's on the same impaired path, in one run: throughput, fairness, and every
//! byte checked. Figures are ratios, of medians.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use tests::Lab;
use tests::impair::{Impairment, Link, check_pattern, send_pattern};

/// The target of speed.ron that has a network link.
const OURS: &str = "203.0.113.1:80";

/// Which congestion control the kernel's side uses: CUBIC where the host allows it, else Reno.
fn kernels(stream: &TcpStream) -> &'static str {
    let found = ["cubic", "reno"].into_iter().find(|name| sockopt::set_tcp_congestion(stream, name).is_ok());
    found.expect("one of them is always there")
}

/// One of our image's downloads, begun: what follows are the bytes.
fn get(link: &Link, count: usize) -> BufReader<TcpStream> {
    let mut stream = link.connect_far(OURS.parse().expect("an address"));
    write!(stream, "GET /bytes/{count} HTTP/1.1\r\nHost: ours\r\nConnection: close\r\n\r\n").expect("it is sent");
    let mut reader = BufReader::with_capacity(65_536, stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer");
    assert!(line.contains("200"), "{line}");
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).expect("a header");
    }
    reader
}

/// The same from the kernel.
fn kernel_get(link: &Link, count: usize) -> TcpStream {
    let listener = link.listen_near();
    let address: SocketAddr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        kernels(&stream);
        // The receiver may have enough.
        drop(send_pattern(&mut stream, count));
    });
    link.connect_far(address)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

const ROUNDS: usize = 5;

/// Downloads of `count` bytes, ours and the kernel's; how many times as fast ours are. Flows that
/// only chance holds back do not know of each other: then all run at once.
fn ratio(what: &str, impairment: Impairment, count: usize) -> f64 {
    let lab = Lab::up("speed.ron");
    let link = Link::lay(&lab, impairment);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let download = |mut stream: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let start = Instant::now();
            check_pattern(&mut stream, count);
            start.elapsed()
        })
    };
    if impairment.rate.is_none() {
        let flows: Vec<_> = (0..ROUNDS)
            .map(|_| (download(Box::new(kernel_get(&link, count))), download(Box::new(get(&link, count)))))
            .collect();
        for (kernel, our) in flows {
            theirs.push(kernel.join().expect("the kernel delivers"));
            ours.push(our.join().expect("we deliver"));
        }
    } else {
        for _ in 0..ROUNDS {
            theirs.push(download(Box::new(kernel_get(&link, count))).join().expect("the kernel delivers"));
            ours.push(download(Box::new(get(&link, count))).join().expect("we deliver"));
        }
    }
    let mbits = |time: Duration| count as f64 * 8e-6 / time.as_secs_f64();
    println!(
        "{what}: ours {:?}, theirs {:?} Mbit/s",
        ours.iter().map(|time| mbits(*time).round()).collect::<Vec<_>>(),
        theirs.iter().map(|time| mbits(*time).round()).collect::<Vec<_>>()
    );
    let (ours, theirs) = (median(ours), median(theirs));
    let name = kernels(&link.connect_far(OURS.parse().expect("an address")));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!("{what}: kernel ({name}) {:.2} Mbit/s, ours {:.2} Mbit/s, ratio {ratio:.2}", mbits(theirs), mbits(ours));
    ratio
}

/// 1 % of loss and 20 ms of RTT.
#[test]
fn loss_costs_no_more_than_it_costs_the_kernel() {
    let impairment = Impairment { delay: Duration::from_millis(10), loss: 10, ..Impairment::default() };
    let ratio = ratio("1 % loss, 20 ms", impairment, 12_000_000);
    assert!(ratio >= 0.9, "{ratio:.2} of the kernel's rate");
}

/// 5 % of reordering.
#[test]
fn reordering_costs_no_more_than_it_costs_the_kernel() {
    let impairment = Impairment {
        delay: Duration::from_millis(10),
        reordering: 50,
        rate: Some((100_000_000 / 8, 500_000)),
        ..Impairment::default()
    };
    let ratio = ratio("5 % reordering, 20 ms, 100 Mbit/s", impairment, 40_000_000);
    assert!(ratio >= 0.9, "{ratio:.2} of the kernel's rate");
}
