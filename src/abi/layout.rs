//! Sizes and offsets of what calls read and write, as the C headers assert them.

use wiggle::GuestType;

use super::preview1::bindings::types as preview1;
use super::wamr::bindings::types as wamr;
use super::wasix::bindings::types as wasix;
use super::wasmedge::bindings::types as wasmedge;

fn layout<T: GuestType>() -> (u32, usize) {
    (T::guest_size(), T::guest_align())
}

#[test]
fn records_have_the_abis_size() {
    assert_eq!(layout::<preview1::Fdstat>(), (24, 8));
    assert_eq!(layout::<preview1::Filestat>(), (64, 8));
    assert_eq!(layout::<preview1::Dirent>(), (24, 8));
    assert_eq!(layout::<preview1::Prestat>(), (8, 4));
    assert_eq!(layout::<preview1::Iovec>(), (8, 4));
    assert_eq!(layout::<preview1::Ciovec>(), (8, 4));
    assert_eq!(layout::<preview1::Subscription>(), (48, 8));
    assert_eq!(layout::<preview1::Event>(), (32, 8));
    assert_eq!(layout::<preview1::UnstableFilestat>(), (56, 8));
    assert_eq!(layout::<preview1::UnstableSubscription>(), (56, 8));
    assert_eq!(layout::<wasix::OptionTimestamp>(), (16, 8));
    assert_eq!(layout::<wasix::OptionPid>(), (8, 4));
    assert_eq!(layout::<wasix::StackSnapshot>(), (24, 8));
    assert_eq!(layout::<wasix::Tty>(), (24, 4));
    assert_eq!(layout::<wasix::EpollEvent>(), (32, 8));
    assert_eq!(layout::<wasmedge::Address>(), (8, 4));
    assert_eq!(layout::<wasmedge::Addrinfo>(), (28, 4));
    assert_eq!(layout::<wasmedge::Sockaddr>(), (12, 4));
    assert_eq!(layout::<wamr::Addr>(), (24, 4));
    assert_eq!(layout::<wamr::AddrIp>(), (20, 4));
    assert_eq!(layout::<wamr::AddrInfo>(), (28, 4));
    assert_eq!(layout::<wamr::AddrInfoHints>(), (12, 4));
}

#[test]
fn fields_lie_where_the_abi_has_them() {
    use preview1::{Dirent, Event, Fdstat, Filestat, Subscription};
    assert_eq!([Fdstat::offset_of_fs_flags(), Fdstat::offset_of_fs_rights_base()], [2, 8]);
    assert_eq!(
        [Filestat::offset_of_filetype(), Filestat::offset_of_nlink(), Filestat::offset_of_ctim()],
        [16, 24, 56]
    );
    assert_eq!([Dirent::offset_of_d_namlen(), Dirent::offset_of_d_type()], [16, 20]);
    assert_eq!(
        [
            Subscription::offset_of_tag(),
            Subscription::offset_of_id(),
            Subscription::offset_of_timeout(),
            Subscription::offset_of_precision(),
            Subscription::offset_of_flags(),
        ],
        [8, 16, 24, 32, 40]
    );
    assert_eq!(
        [
            Event::offset_of_error(),
            Event::offset_of_type_(),
            Event::offset_of_nbytes(),
            Event::offset_of_flags(),
        ],
        [8, 10, 16, 24]
    );
    use preview1::{UnstableFilestat, UnstableSubscription};
    assert_eq!(
        [
            UnstableFilestat::offset_of_filetype(),
            UnstableFilestat::offset_of_nlink(),
            UnstableFilestat::offset_of_size(),
            UnstableFilestat::offset_of_ctim(),
        ],
        [16, 20, 24, 48]
    );
    assert_eq!(
        [
            UnstableSubscription::offset_of_tag(),
            UnstableSubscription::offset_of_identifier(),
            UnstableSubscription::offset_of_id(),
            UnstableSubscription::offset_of_timeout(),
            UnstableSubscription::offset_of_precision(),
            UnstableSubscription::offset_of_flags(),
        ],
        [8, 16, 24, 32, 40, 48]
    );
    assert_eq!([wasix::EpollEvent::offset_of_events(), wasix::EpollEvent::offset_of_data()], [0, 8]);
    use wasix::EpollData;
    assert_eq!(
        [
            EpollData::offset_of_ptr(),
            EpollData::offset_of_fd(),
            EpollData::offset_of_data1(),
            EpollData::offset_of_data2(),
        ],
        [0, 4, 8, 16]
    );
    use wasmedge::{Addrinfo, Sockaddr};
    assert_eq!(
        [
            Addrinfo::offset_of_ai_family(),
            Addrinfo::offset_of_ai_socktype(),
            Addrinfo::offset_of_ai_protocol(),
            Addrinfo::offset_of_ai_addrlen(),
            Addrinfo::offset_of_ai_addr(),
            Addrinfo::offset_of_ai_canonname(),
            Addrinfo::offset_of_ai_canonname_len(),
            Addrinfo::offset_of_ai_next(),
        ],
        [2, 3, 4, 8, 12, 16, 20, 24]
    );
    assert_eq!([Sockaddr::offset_of_sa_data_len(), Sockaddr::offset_of_sa_data()], [4, 8]);
    use wamr::{Addr, AddrInfo, AddrInfoHints};
    assert_eq!([Addr::offset_of_w0(), Addr::offset_of_w1(), Addr::offset_of_w4()], [4, 8, 20]);
    assert_eq!([AddrInfo::offset_of_addr(), AddrInfo::offset_of_type_()], [0, 24]);
    assert_eq!([AddrInfoHints::offset_of_family(), AddrInfoHints::offset_of_hints_enabled()], [4, 8]);
    assert_eq!([wasix::Tty::offset_of_stdin_tty(), wasix::Tty::offset_of_line_feeds()], [16, 21]);
}
