//! Claims on real descriptors.

use super::*;
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

fn facts(peer: Option<&str>) -> Facts {
    let peer = peer.map(|peer| peer.parse().expect("an address"));
    Facts {
        peer,
        server: 2,
        listener: 3,
        unix: true,
        named: true,
        counted: true,
        born: Tick(7),
        requests: 9,
    }
}

/// A connection with its claim, and the other end.
fn claimed() -> (OwnedFd, Claim, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let ours = OwnedFd::from(ours);
    let claims = claims().expect("memory for claims");
    let claim = claims.begin(&ours, &facts(None)).expect("within the table");
    (ours, claim, theirs)
}

#[test]
fn an_entry_is_one_line_of_the_cache() {
    assert_eq!(size_of::<Entry>(), 64);
}

#[test]
fn facts_are_read_as_they_were_written() {
    let (fd, claim, _other) = claimed();
    for peer in [None, Some("192.0.2.1:65535"), Some("[2001:db8::1]:1"), Some("[::]:0")] {
        claim.set_facts(&facts(peer));
        assert_eq!(claim.facts(), facts(peer));
    }
    claim.free();
    drop(fd);
}

/// A connection by TCP, with the port of its peer.
fn connected() -> (OwnedFd, SocketAddr, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("it is bound");
    let theirs = TcpStream::connect(at).expect("it listens");
    let (ours, peer) = listener.accept().expect("it was connected to");
    (ours.into(), peer, theirs)
}

#[test]
fn what_comes_from_another_process_is_the_socket_and_the_peer_that_were_said() {
    let claims = claims().expect("memory for claims");
    let adopt = |fd: &OwnedFd, inode, facts: &Facts| {
        let at = claims.adopt(fd.try_clone().expect("a descriptor"), inode, facts)?;
        let (_fd, claim) = claims.unpark(at.number, at.generation).expect("it is parked");
        claim.free();
        Some(at.facts.peer)
    };
    let (ours, peer, _theirs) = connected();
    let (other, other_peer, _others) = connected();
    let said = Facts { unix: false, named: false, ..facts(Some(&peer.to_string())) };
    assert_eq!(adopt(&ours, inode(&ours), &said), Some(Some(peer)));
    assert_eq!(adopt(&other, inode(&ours), &said), None, "another socket");
    assert_eq!(adopt(&other, inode(&other), &said), None, "another peer");
    assert_eq!(adopt(&ours, inode(&ours), &Facts { unix: true, ..said }), None, "another family");
    let proxied = Facts { peer: Some(other_peer), named: true, ..said };
    assert_eq!(adopt(&ours, inode(&ours), &proxied), Some(Some(other_peer)));
    let (file, _theirs) = UnixStream::pair().expect("a pair");
    assert_eq!(adopt(&file.into(), 0, &Facts { unix: true, ..said }), None, "no inode was said");
}

#[test]
fn a_claim_knows_its_own_socket() {
    let ((fd, claim, _theirs), (other, others, _)) = (claimed(), claimed());
    assert!(claim.is_of(&fd) && others.is_of(&other));
    assert!(!claim.is_of(&other) && !others.is_of(&fd));
    let null = std::fs::File::open("/dev/null").expect("there is one");
    assert!(!claim.is_of(&null));
    claim.free();
    others.free();
}

#[test]
fn a_parked_connection_is_taken_once() {
    let (fd, claim, _other) = claimed();
    let (number, claims) = (fd.as_raw_fd(), claims().expect("memory for claims"));
    assert!(claims.unpark(number, claim.generation()).is_none(), "it is busy");
    claim.park(fd).expect("it is busy");
    let parked = claims.at_rest().find(|resting| resting.number == number).expect("it rests");
    assert!(parked.parked && parked.generation == claim.generation());
    let (fd, again) = claims.unpark(number, claim.generation()).expect("it was parked");
    assert_eq!(fd.as_raw_fd(), number);
    assert!(claims.unpark(number, claim.generation()).is_none(), "somebody has it");
    again.park(fd).expect("it is busy");
    assert!(claims.unpark(number, claim.generation()).is_none(), "that was an earlier owner's");
    let (fd, again) = claims.unpark(number, again.generation()).expect("it was parked");
    again.free();
    drop(fd);
}

#[test]
fn an_idle_connection_is_parked_unless_somebody_has_taken_it() {
    let (fd, claim, _other) = claimed();
    let (number, claims) = (fd.as_raw_fd(), claims().expect("memory for claims"));
    claim.rest();
    claim.park(fd).expect("nobody has taken it");
    let (fd, claim) = claims.unpark(number, claim.generation()).expect("it was parked");
    claim.rest();
    let taken = claims.take(number, claim.generation()).expect("it rests");
    let lost = claim.park(fd).expect_err("it was taken");
    claim.free();
    drop((lost, taken));
}

#[test]
fn an_idle_connection_that_was_taken_is_lost_to_its_task_and_lives_on() {
    use std::io::{Read, Write};
    let (fd, claim, mut other) = claimed();
    let (number, claims) = (fd.as_raw_fd(), claims().expect("memory for claims"));
    assert!(claims.take(number, claim.generation()).is_none(), "it is busy");
    claim.rest();
    assert!(claim.resume(), "nobody has taken it");
    claim.rest();
    let (duplicate, said) = claims.take(number, claim.generation()).expect("it is idle");
    assert_eq!(said, facts(None));
    assert!(!claim.resume(), "it was taken");
    assert!(claims.take(number, claim.generation()).is_none(), "it was taken");
    claim.free();
    drop(fd);
    let mut duplicate = UnixStream::from(duplicate);
    duplicate.write_all(b"alive").expect("it is open");
    let mut heard = [0; 5];
    other.read_exact(&mut heard).expect("it was sent");
    assert_eq!(&heard, b"alive");
}
