//! Figure 4 of the seed, as definitions, and other small clusters.

use std::net::{IpAddr, SocketAddr};

use vipa::{Backup, Define, Definitions, Distribute, Method, Moveable, Options, PortRange, Ports, Targets};

use crate::harness::{Cluster, Ends, Image, client, ip};

pub const MVS1: usize = 0;
pub const MVS2: usize = 1;
pub const MVS3: usize = 2;
pub const MVS4: usize = 3;
pub const MVS5: usize = 4;

pub fn dva1() -> IpAddr {
    ip("203.0.113.1")
}

pub fn dvb1() -> IpAddr {
    ip("203.0.113.65")
}

/// Connection of the client's port to DVA1 port 60.
pub fn to_a(port: u16) -> Ends {
    (SocketAddr::new(dva1(), 60), client(port))
}

/// Connection of the client's port to DVB1 port 60.
pub fn to_b(port: u16) -> Ends {
    (SocketAddr::new(dvb1(), 60), client(port))
}

pub fn xcf(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

pub fn define(address: IpAddr) -> Define {
    Define { address, prefix: 26, moveable: Moveable::Immediate }
}

pub fn backup(address: IpAddr, rank: u8) -> Backup {
    Backup { address, rank, create: None }
}

pub fn distribute(address: IpAddr, port: u16, targets: Targets) -> Distribute {
    Distribute {
        address,
        method: Method::RoundRobin,
        ports: Ports::List(vec![PortRange { first: port, last: port }]),
        targets,
        options: Options::default(),
    }
}

pub fn image(number: u8, linked: bool, definitions: Definitions, listeners: Vec<(Option<IpAddr>, u16)>) -> Image {
    let names = ["MVS1", "MVS2", "MVS3", "MVS4", "MVS5", "MVS6", "MVS7", "MVS8"];
    Image { name: names[usize::from(number) - 1], xcf: xcf(number), linked, definitions, listeners }
}

/// The images of figure 4: APP A serves DVA1 on MVS1, MVS2 and MVS4, APP B serves DVB1 on MVS2,
/// MVS3 and MVS5; MVS1 and MVS5 have network links.
pub fn figure4_images() -> Vec<Image> {
    let (app_a, app_b) = ((Some(dva1()), 60), (Some(dvb1()), 60));
    let first = Definitions {
        defines: vec![define(dva1())],
        backups: vec![backup(dvb1(), 30)],
        ranges: vec![],
        distributes: vec![distribute(dva1(), 60, Targets::List(vec![xcf(1), xcf(2), xcf(4)]))],
    };
    let fifth = Definitions {
        defines: vec![define(dvb1())],
        backups: vec![backup(dva1(), 10)],
        ranges: vec![],
        distributes: vec![
            distribute(dvb1(), 60, Targets::All),
            distribute(dva1(), 60, Targets::List(vec![xcf(2), xcf(3), xcf(4)])),
        ],
    };
    vec![
        image(1, true, first, vec![app_a]),
        image(2, false, Definitions::default(), vec![app_a, app_b]),
        image(3, false, Definitions::default(), vec![app_b]),
        image(4, false, Definitions::default(), vec![app_a]),
        image(5, true, fifth, vec![app_b]),
    ]
}

/// Figure 4, running.
pub fn figure4() -> Cluster {
    let mut cluster = Cluster::new(figure4_images(), 4);
    cluster.start_all();
    cluster
}

/// Three linked stacks with one DVIPA: MVS1 is the primary, MVS2 (rank 20) and MVS3 (rank 10) back
/// it up, MVS4 serves; all run a server on port 60 bound to every address.
pub fn chain() -> Cluster {
    let server = vec![(None, 60)];
    let primary = Definitions {
        defines: vec![define(dva1())],
        backups: vec![],
        ranges: vec![],
        distributes: vec![distribute(dva1(), 60, Targets::All)],
    };
    let second = Definitions { backups: vec![backup(dva1(), 20)], ..Definitions::default() };
    let third = Definitions { backups: vec![backup(dva1(), 10)], ..Definitions::default() };
    let images = vec![
        image(1, true, primary, server.clone()),
        image(2, true, second, server.clone()),
        image(3, true, third, server.clone()),
        image(4, false, Definitions::default(), server),
    ];
    let mut cluster = Cluster::new(images, 5);
    cluster.start_all();
    cluster
}
