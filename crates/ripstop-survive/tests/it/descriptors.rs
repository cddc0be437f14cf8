//! What the processes hold: no more after ten crashes than before.

use crate::beacon::{Beacon, SOON};
use ripstop_testkit::{Proc, until};

const KIB: u64 = 1024;

/// What a process has open, without the numbers of sockets, which are new each time.
fn files(of: Proc) -> Vec<String> {
    let kind = |(_, file): (u32, String)| file.split(":[").next().unwrap_or_default().to_owned();
    let mut files: Vec<_> = of.open_files().unwrap().into_iter().map(kind).collect();
    files.sort();
    files
}

#[test]
fn ten_crashes_leave_no_descriptor_and_no_process_behind() {
    let beacon = Beacon::start();
    let _idle: Vec<_> = (0..5).map(|_| beacon.idle()).collect();
    // The listener, the master's end, and the clients; not those any more that settled them.
    let sockets = |server| files(server).iter().filter(|file| *file == "socket").count();
    let settled = |server| until(SOON, || sockets(server) == 7);
    assert!(settled(beacon.family.server()));
    let mut server = beacon.family.server();
    let (before, master) = (files(server), files(beacon.family.proc()));
    for _ in 0..10 {
        // A library's descriptor without FD_CLOEXEC does not reach the next server.
        let _ = beacon.connect().get("/leak").unwrap();
        beacon.settle();
        server = beacon.kill_server();
        beacon.settle();
    }
    assert!(settled(server));
    // A file of /proc may be open for a moment.
    assert!(until(SOON, || files(server) == before), "{:?} {before:?}", files(server));
    let of_master = || files(beacon.family.proc());
    assert!(until(SOON, || of_master() == master), "{:?} {master:?}", of_master());
    assert_eq!(beacon.family.members().len(), 3);
}

#[test]
fn keeper_and_master_have_hardly_any_memory_of_their_own() {
    let beacon = Beacon::start();
    let _idle: Vec<_> = (0..100).map(|_| beacon.idle()).collect();
    for _ in 0..3 {
        let (keeper, master) = (beacon.family.keeper(), beacon.family.proc());
        let (keeper, master) = (keeper.private_bytes().unwrap(), master.private_bytes().unwrap());
        println!("private: keeper {} KiB, master {} KiB", keeper / KIB, master / KIB);
        assert!(keeper < 512 * KIB, "keeper: {keeper}");
        assert!(master < 1536 * KIB, "master: {master}");
        beacon.kill_server();
    }
}
