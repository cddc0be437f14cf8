//! `TCP_DEFER_ACCEPT`: a listener that is told of a connection only when it has sent something.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

/// Makes the kernel hold back connections of the listening socket `fd` until their first bytes
/// come or `time` is over (rounded up to whole seconds, and by the kernel to what its
/// retransmissions allow).
///
/// # Errors
///
/// When the socket is not a TCP one.
pub fn set_defer_accept(fd: impl AsFd, time: Duration) -> io::Result<()> {
    let seconds =
        libc::c_int::try_from(time.as_millis().div_ceil(1000)).unwrap_or(libc::c_int::MAX);
    let length = size_of_val(&seconds) as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel reads `length`
    // bytes of an integer that lives until the call returns.
    #[expect(unsafe_code, reason = "no library has this option, and std only on nightly")]
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        net::{TcpListener, TcpStream},
    };

    #[test]
    fn a_silent_connection_is_held_back_and_a_speaking_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_defer_accept(&listener, Duration::from_secs(30)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        listener.set_nonblocking(false).unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    }

    #[test]
    fn a_socket_of_another_kind_is_refused() {
        let dir = std::env::temp_dir();
        assert!(set_defer_accept(std::fs::File::open(dir).unwrap(), Duration::ZERO).is_err());
    }
}
