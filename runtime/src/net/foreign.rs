//! What the standard library and the crates have no safe form of: names of addresses and interfaces, descriptors that a
//! parent left open, and a socket option.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::BorrowedFd;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use socket2::SockAddr;

/// Room for any host's name (`NI_MAXHOST`) and service's (`NI_MAXSERV`).
const HOST: usize = 1025;
const SERVICE: usize = 32;

/// The names of an address' host and of its port. Blocks.
pub(super) fn getnameinfo(address: SocketAddr, flags: i32) -> io::Result<(String, String)> {
    let address = SockAddr::from(address);
    let (mut host, mut service) = ([0 as c_char; HOST], [0 as c_char; SERVICE]);
    // SAFETY: the address is one, of that length, and both arrays are as long as is said.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            host.as_mut_ptr(),
            HOST as libc::socklen_t,
            service.as_mut_ptr(),
            SERVICE as libc::socklen_t,
            flags,
        )
    };
    match code {
        0 => Ok((text(&host), text(&service))),
        libc::EAI_SYSTEM => Err(io::Error::last_os_error()),
        code => {
            // SAFETY: it gives a string that is never freed, whatever the code.
            let reason = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
            let kind = if code == libc::EAI_NONAME { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
            Err(io::Error::new(kind, reason.to_string_lossy().into_owned()))
        }
    }
}

fn text(characters: &[c_char]) -> String {
    let bytes: Vec<u8> = characters.iter().take_while(|byte| **byte != 0).map(|byte| byte.to_ne_bytes()[0]).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The number of the network interface that has this name.
pub(super) fn interface(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the string is one, and is only read.
    let number = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (number != 0).then_some(number)
}

/// The descriptors that the parent has left open for this process, as the service managers do it; nothing the second time.
/// Children do not inherit them.
pub(super) fn inherited(first: RawFd, count: RawFd) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Ok(Vec::new());
    }
    let numbers = first..first.saturating_add(count);
    for number in numbers.clone() {
        // SAFETY: the borrow is over before anybody could own the descriptor; if there is none, the call says so.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let flags = fcntl_getfd(descriptor)?;
        fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)?;
    }
    // SAFETY: all of them are open, and whoever started the process has said, to it and nobody else, that they are its to
    // use, before its first own descriptor was opened. They are taken once.
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

/// Has the system choose the port of a socket that is bound to an address when it connects, so that one port can
/// do for several connections. Where that can't be, nothing changes.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn choose_port_late(socket: &socket2::Socket) {
    use std::os::fd::AsRawFd;

    let on: libc::c_int = 1;
    // SAFETY: the value is one, of that size, and is copied.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        );
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn choose_port_late(_: &socket2::Socket) {}
