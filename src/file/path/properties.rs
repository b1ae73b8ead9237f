//! What a path may look like, by the rules one after the other.

use proptest::prelude::*;

use super::{PATH_MAX, check, has_trailing_slash};
use crate::error::Errno;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_passes_whole_or_is_refused(
        text in prop_oneof!["[a./\\x00ü]{0,12}", ".{0,40}"],
        repeats in prop_oneof![8 => Just(1_usize), 1 => 1..3000_usize],
    ) {
        let path = text.repeat(repeats);
        let wrong = if path.is_empty() {
            Some(Errno::ENOENT)
        } else if path.bytes().any(|byte| byte == 0) {
            Some(Errno::EINVAL)
        } else if path.len() >= PATH_MAX {
            Some(Errno::ENAMETOOLONG)
        } else if path.bytes().next() == Some(b'/') {
            Some(Errno::EPERM)
        } else {
            None
        };
        prop_assert_eq!(check(&path).err(), wrong);
        if let Ok(checked) = check(&path) {
            prop_assert_eq!(checked.as_os_str(), path.as_str());
            prop_assert!(checked.is_relative());
        }
        prop_assert_eq!(has_trailing_slash(&path), path.bytes().last() == Some(b'/'));
    }
}
