//! What `wasi:filesystem/types` of 2023-10-18 has and WASI 0.2 has not, or has in another shape: permissions and
//! locks. Offered beside the functions of 0.2, in the same interface: see [`crate::edition`].
//!
//! A guest's files are for reading only, so nothing changes a permission; locks are not supported.

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, flags},
};
use wasmtime_wasi::{
    filesystem::{Descriptor, WasiFilesystemView as _},
    p2::{
        FsResult,
        bindings::filesystem::types::{
            DescriptorFlags, ErrorCode, Host as _, HostDescriptor as _, OpenFlags, PathFlags,
        },
    },
};

use crate::guest::Guest;

flags! {
    Modes {
        #[component(name = "readable")]
        const READABLE;
        #[component(name = "writable")]
        const WRITABLE;
        #[component(name = "executable")]
        const EXECUTABLE;
    }
}

/// What is asked of a path.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum AccessType {
    #[component(name = "access")]
    Access(Modes),
    #[component(name = "exists")]
    Exists,
}

type Store<'a> = StoreContextMut<'a, Guest>;
type Answer<T> = Result<T, ErrorCode>;

/// Adds all of it. What is left out of the interface is the same in WASI 0.2.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    add_paths(&mut types)?;
    for function in [
        "change-file-permissions-at",
        "change-directory-permissions-at",
    ] {
        types.func_wrap(
            &method(function),
            |_, _: (Resource<Descriptor>, PathFlags, String, Modes)| {
                Ok((Answer::<()>::Err(ErrorCode::NotPermitted),))
            },
        )?;
    }
    for function in [
        "lock-shared",
        "lock-exclusive",
        "try-lock-shared",
        "try-lock-exclusive",
        "unlock",
    ] {
        types.func_wrap(&method(function), |_, _: (Resource<Descriptor>,)| {
            Ok((Answer::<()>::Err(ErrorCode::Unsupported),))
        })?;
    }
    Ok(())
}

fn method(function: &str) -> String {
    format!("[method]descriptor.{function}")
}

fn add_paths(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    type Open = (
        Resource<Descriptor>,
        PathFlags,
        String,
        OpenFlags,
        DescriptorFlags,
        Modes,
    );
    // The modes are those of a file that is made, and none is.
    types.func_wrap_async(
        &method("OPEN-AT"),
        |mut store: Store<'_>, (at, path_flags, path, open_flags, flags, _): Open| {
            Box::new(async move {
                let mut files = store.data_mut().filesystem();
                let opened = files.open_at(at, path_flags, path, open_flags, flags).await;
                Ok((answer(store, opened)?,))
            })
        },
    )?;
    type Access = (Resource<Descriptor>, PathFlags, String, AccessType);
    types.func_wrap_async(
        &method("access-at"),
        |mut store: Store<'_>, (at, path_flags, path, access): Access| {
            Box::new(async move {
                let mut files = store.data_mut().filesystem();
                let found = files.stat_at(at, path_flags, path).await;
                let allowed = answer(store, found)?.and_then(|_| allowed(&access));
                Ok((allowed,))
            })
        },
    )
}

fn answer<T>(mut store: Store<'_>, result: FsResult<T>) -> wasmtime::Result<Answer<T>> {
    Ok(match result {
        Ok(value) => Ok(value),
        Err(e) => Err(store.data_mut().filesystem().convert_error_code(e)?),
    })
}

/// Whether a path that is there may be used so.
fn allowed(access: &AccessType) -> Answer<()> {
    match access {
        AccessType::Access(modes) if modes.contains(Modes::WRITABLE) => {
            Err(ErrorCode::NotPermitted)
        }
        AccessType::Access(_) | AccessType::Exists => Ok(()),
    }
}
