//! Hooks of a container: programs by which others give it what it needs, as nerdctl gives a network.
//!
//! The container's crate executes those of `prestart` twice, the second time for the shim in place of the container, and
//! panics where there are hooks, but none of `prestart`. So what it reads has others: those of `prestart` become the first
//! ones of `createRuntime`, which are called at the same time, "after the runtime environment has been created … but
//! before the `pivot_root`" - the runtime specification of OCI, `config.md`

use std::path::Path;

use serde_json::Value;

use crate::bundle;

/// Has each hook be called once, of the container that is about to be created from the folder `bundle`.
pub(crate) fn mend(bundle: &Path) {
    let Some(mut spec) = bundle::whole(bundle) else { return };
    if move_prestart(&mut spec) {
        // Where that fails the container is as it would be without this.
        let _as_it_is = bundle::replace(bundle, &spec);
    }
}

/// Makes the hooks of `prestart` those of `createRuntime`. Returns whether there are hooks at all.
fn move_prestart(spec: &mut Value) -> bool {
    let Some(hooks) = spec.get_mut("hooks").and_then(Value::as_object_mut) else { return false };
    let mut take = |name: &str| match hooks.insert(name.to_owned(), Value::Array(Vec::new())) {
        Some(Value::Array(hooks)) => hooks,
        _ => Vec::new(),
    };
    let mut moved = take("prestart");
    moved.append(&mut take("createRuntime"));
    hooks.insert("createRuntime".to_owned(), Value::Array(moved));
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hooks_keep_their_order() {
        let mut spec = json!({ "hooks": {
            "prestart": [{ "path": "/a" }], "createRuntime": [{ "path": "/b" }], "poststop": [{ "path": "/c" }],
        } });
        assert!(move_prestart(&mut spec));
        let expected = json!({ "hooks": {
            "prestart": [], "createRuntime": [{ "path": "/a" }, { "path": "/b" }], "poststop": [{ "path": "/c" }],
        } });
        assert_eq!(spec, expected);
    }

    #[test]
    fn where_there_are_hooks_there_is_a_list_for_each() {
        for hooks in [json!({}), json!({ "prestart": null }), json!({ "createRuntime": [] })] {
            let mut spec = json!({ "hooks": hooks });
            assert!(move_prestart(&mut spec));
            assert_eq!(spec, json!({ "hooks": { "prestart": [], "createRuntime": [] } }));
        }
        for mut none in [json!({}), json!({ "hooks": null }), json!([]), json!({ "hooks": [] })] {
            assert!(!move_prestart(&mut none), "{none}");
        }
    }
}
