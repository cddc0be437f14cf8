//! How much memory the process may have: what the machine has, or its control group if that is
//! less, of version 1 or 2 (`cgroups(7)`).
//!
//! Reads files below a root, so that tests can have folders of their own.

use std::{
    fs, iter,
    path::{Component, Path, PathBuf},
};

/// The files of a group of version 1 that limit memory.
const FILES_V1: &[&str] = &["memory.limit_in_bytes"];

/// Those of version 2: above `memory.high` a process is slowed down until it stands still.
const FILES_V2: &[&str] = &["memory.max", "memory.high"];

/// How many bytes of memory the process may have, by the files below `root`; `None` where they do
/// not say.
pub(super) fn allowed(root: &Path) -> Option<u64> {
    [machine(root), groups(root)].into_iter().flatten().min()
}

/// What the machine has.
fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    super::kilobytes(&text, "MemTotal:")
}

/// The least that a group allows in which the process is.
fn groups(root: &Path) -> Option<u64> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let limit = |mount: Mount<'_>| limit(root, &mount, mount.group(&own)?);
    mounts.lines().filter_map(Mount::parse).filter_map(limit).min()
}

/// Where groups can be seen.
struct Mount<'a> {
    /// The group that is seen at `point`.
    top: &'a str,
    point: &'a str,
    files: &'static [&'static str],
}

impl<'a> Mount<'a> {
    /// A line of mountinfo (`proc_pid_mountinfo(5)`), if it is about groups that limit memory.
    fn parse(line: &'a str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (top, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let files = match (kind.next()?, kind.nth(1)?) {
            ("cgroup2", _) => FILES_V2,
            ("cgroup", options) if options.split(',').any(|option| option == "memory") => FILES_V1,
            _ => return None,
        };
        Some(Self { top, point, files })
    }

    /// The group of the process, by its /proc/self/cgroup.
    fn group<'b>(&self, own: &'b str) -> Option<&'b str> {
        let is_meant = |controllers: &str| match self.files {
            FILES_V2 => controllers.is_empty(),
            _ => controllers.split(',').any(|controller| controller == "memory"),
        };
        own.lines().find_map(|line| {
            let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
            is_meant(controllers).then_some(group)
        })
    }
}

/// The least that `group`, and the groups around it as far as they can be seen, allow.
fn limit(root: &Path, mount: &Mount<'_>, group: &str) -> Option<u64> {
    let top = inside(root, mount.point);
    // In a container the group may be named as the host sees it.
    let below = Path::new(group).strip_prefix(mount.top).unwrap_or(Path::new(""));
    let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    let own = if is_plain { top.join(below) } else { top.clone() };
    let around = own.ancestors().take_while(|folder| folder.starts_with(&top));
    let read = |folder: &Path, file: &&str| {
        fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok()
    };
    around
        .flat_map(|folder| mount.files.iter().zip(iter::repeat(folder)))
        .filter_map(|(file, folder)| read(folder, file))
        .min()
}

fn inside(root: &Path, absolute: &str) -> PathBuf {
    root.join(absolute.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const V1: &str = "4:memory:/app/web\n3:cpu:/\n0::/\n";
    const V2: &str = "0::/app/web\n";
    const MOUNT_V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    const MOUNT_V2: &str =
        "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// What a process may have on a machine of 8 GiB with these files.
    #[track_caller]
    fn check(cgroup: &str, mountinfo: &str, files: &[(&str, &str)], expected: u64) {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:  1000 kB\n");
        write("proc/self/cgroup", cgroup);
        write("proc/self/mountinfo", mountinfo);
        for (path, text) in files {
            write(&format!("sys/fs/cgroup/{path}"), text);
        }
        assert_eq!(allowed(root.path()), Some(expected), "{cgroup:?} {mountinfo:?} {files:?}");
    }

    #[test]
    fn without_a_group_it_is_what_the_machine_has() {
        check("", "", &[], 8 * GIB);
        check(V1, "24 1 0:22 / /proc rw - proc proc rw\nnonsense\n", &[], 8 * GIB);
    }

    #[test]
    fn a_group_of_version_1_allows_less() {
        let own = "memory/app/web/memory.limit_in_bytes";
        check(V1, MOUNT_V1, &[(own, "1073741824\n")], GIB);
        check(V1, MOUNT_V1, &[(own, "9223372036854771712\n")], 8 * GIB);
        // The one around it allows less still.
        let around = ("memory/app/memory.limit_in_bytes", "536870912\n");
        check(V1, MOUNT_V1, &[(own, "1073741824\n"), around], GIB / 2);
        // That of another controller says nothing.
        let other = MOUNT_V1.replace("memory", "cpu");
        check(V1, &other, &[("cpu/app/web/memory.limit_in_bytes", "1\n")], 8 * GIB);
    }

    #[test]
    fn a_group_of_version_2_allows_less() {
        check(V2, MOUNT_V2, &[("app/web/memory.max", "1073741824\n")], GIB);
        check(V2, MOUNT_V2, &[("app/web/memory.max", "max\n")], 8 * GIB);
        check(V2, MOUNT_V2, &[("app/memory.max", "1073741824\n")], GIB);
        let high = ("app/web/memory.high", "536870912\n");
        check(V2, MOUNT_V2, &[("app/web/memory.max", "1073741824\n"), high], GIB / 2);
    }

    #[test]
    fn both_versions_at_once_allow_the_lesser() {
        let unified = MOUNT_V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ");
        let mounts = format!("{MOUNT_V1}{unified}");
        let own = ("memory/app/web/memory.limit_in_bytes", "1073741824\n");
        check(V1, &mounts, &[own], GIB);
        check(V1, &mounts, &[own, ("unified/memory.max", "536870912\n")], GIB / 2);
    }

    #[test]
    fn in_a_container_the_group_may_have_the_name_that_the_host_gave_it() {
        let mounted = MOUNT_V1.replace(" / /sys", " /app/web /sys");
        check(V1, &mounted, &[("memory/memory.limit_in_bytes", "1073741824\n")], GIB);
        let elsewhere = MOUNT_V1.replace(" / /sys", " /other /sys");
        check(V1, &elsewhere, &[("memory/memory.limit_in_bytes", "1073741824\n")], GIB);
        check("0::/../web\n", MOUNT_V2, &[("memory.max", "1073741824\n")], GIB);
    }

    #[test]
    fn where_nothing_can_be_read_nothing_is_known() {
        assert_eq!(allowed(tempfile::tempdir().unwrap().path()), None);
    }
}
