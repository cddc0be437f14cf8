//! What the tests need beyond Rust and a C compiler, installed with apt where it is missing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::run;

/// A program, the package that has it, and what it is for.
struct Need {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const NEEDS: &[Need] = &[
    Need { program: "openssl", package: "openssl", purpose: "a TLS peer that is not rustls" },
    Need {
        program: "curl",
        package: "curl",
        purpose: "an HTTP/1 and HTTP/2 client of another make",
    },
    Need { program: "strace", package: "strace", purpose: "a kernel whose calls fail" },
    Need { program: "ip", package: "iproute2", purpose: "a network of a test's own" },
    Need { program: "nft", package: "nftables", purpose: "a network that loses packets" },
    Need { program: "unshare", package: "util-linux", purpose: "a namespace of a test's own" },
];

/// Installs what is missing; does nothing, not even ask apt, when nothing is.
pub(crate) fn install() -> Result<(), String> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| !run::is_installed(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("{} is missing, which the tests use as {}", need.program, need.purpose);
    }
    let packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    let packages = packages.join(" ");
    if !run::is_installed("apt-get") {
        return Err(format!("there is no apt-get here: install {packages} by other means"));
    }
    println!("installing with apt: {packages}");
    apt_get("update --quiet")?;
    apt_get(&format!("install --quiet --yes --no-install-recommends {packages}"))
}

fn apt_get(args: &str) -> Result<(), String> {
    let here = Path::new(".");
    if is_root() {
        run::command(here, "apt-get", args)
    } else {
        run::command(here, "sudo", &format!("apt-get {args}"))
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
