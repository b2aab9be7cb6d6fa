//! The lab's status, put together from what its images know.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Supervisor;
use crate::control::{Answer, DvipaStatus, DvipaView, ImageState, ImageStatus, Question, Reply, Status};
use crate::profile::Cluster;

/// An image that takes longer is left out.
const WAIT: Duration = Duration::from_millis(500);

/// Asks every image, and answers once they have.
pub(super) fn collect(supervisor: &mut Supervisor, reply: oneshot::Sender<Reply>) {
    let mut views = Vec::new();
    let mut images = Vec::new();
    for index in 0..supervisor.images.len() {
        if let Ok(answer) = supervisor.ask(index, Question::Dvipas) {
            views.push((supervisor.images[index].xcf, answer));
        }
        let pid = supervisor.host_of(index).ok().and_then(|host| host.pid());
        let image = &supervisor.images[index];
        images.push(ImageStatus { name: image.name.clone(), state: image.state, pid, xcf: image.xcf });
    }
    let cuts = supervisor.cuts.named(supervisor);
    let (name, cluster) = (supervisor.options.name.clone(), supervisor.cluster.clone());
    tokio::spawn(async move {
        let deadline = tokio::time::Instant::now() + WAIT;
        let mut known = Vec::new();
        for (xcf, answer) in views {
            if let Ok(Ok(Ok(Answer::Dvipas(dvipas)))) = tokio::time::timeout_at(deadline, answer).await {
                known.push((xcf, dvipas));
            }
        }
        let dvipas = combine(&cluster, &images, &known);
        drop(reply.send(Reply::Status(Status { name, images, dvipas, cuts })));
    });
}

/// Of each DVIPA the view with the latest epoch counts; of its owner the owner's own.
pub(super) fn combine(
    cluster: &Cluster,
    images: &[ImageStatus],
    known: &[(IpAddr, Vec<DvipaView>)],
) -> Vec<DvipaStatus> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for image in &cluster.images {
        let definitions = image.definitions();
        let defined = definitions.defines.iter().map(|define| define.address);
        addresses.extend(defined.chain(definitions.backups.iter().map(|backup| backup.address)));
    }
    // Those that applications have made (D4), and those of an OBEYFILE.
    let owned = |view: &&DvipaView| view.owner.is_some();
    addresses.extend(known.iter().flat_map(|(_, views)| views.iter().filter(owned)).map(|view| view.address));
    addresses.sort();
    addresses.dedup();
    let runs = |xcf: IpAddr| images.iter().any(|image| image.xcf == xcf && image.state == ImageState::Running);
    let name = |xcf: &IpAddr| cluster.image_at(*xcf).map_or_else(|| xcf.to_string(), |image| image.name.clone());
    addresses
        .into_iter()
        .map(|address| {
            let views = || {
                known.iter().flat_map(|(xcf, views)| {
                    views.iter().filter(move |view| view.address == address).map(move |view| (*xcf, view))
                })
            };
            let latest = views().max_by_key(|(xcf, view)| (view.epoch, view.owner == Some(*xcf)));
            let owner = latest.and_then(|(_, view)| view.owner).filter(|owner| runs(*owner));
            let owners = views().find(|(xcf, _)| Some(*xcf) == owner);
            let best = owners.or(latest).map(|(_, view)| view);
            DvipaStatus {
                name: cluster.name_of(address),
                address,
                ports: best.map(|view| view.ports.clone()).unwrap_or_default(),
                owner: owner.as_ref().map(name),
                epoch: best.map_or((0, 0), |view| view.epoch),
                backups: best.map(|view| view.backups.iter().map(name).collect()).unwrap_or_default(),
                targets: owners.map(|(_, view)| view.targets.iter().map(name).collect()).unwrap_or_default(),
            }
        })
        .collect()
}
