//! The generated bindings, one module a generation of interfaces.
//!
//! Kept together so that the macro runs only when the contracts change. Everything that waits is async: a guest parked
//! in a host call holds a fiber, never a thread.
#![allow(unreachable_pub, reason = "generated")]

/// Spin 1: `fermyon:spin` without a version.
pub(crate) mod spin1 {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "gust:host/spin-v1",
        imports: { default: async | trappable },
    });
}

/// Spin 2: `fermyon:spin@2.0.0`.
pub(crate) mod spin2 {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "gust:host/spin-v2",
        imports: { default: async | trappable },
        with: {
            "fermyon:spin/key-value@2.0.0.store": crate::host::kv::Store,
            "fermyon:spin/sqlite@2.0.0.connection": crate::host::sql::Database,
        },
    });
}

/// Spin's async generation: `spin:*@3`.
pub(crate) mod spin3 {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "gust:host/spin-v3",
        imports: { default: async | trappable },
        with: {
            "spin:key-value/key-value@3.0.0.store": crate::host::kv::Store,
            "spin:sqlite/sqlite@3.1.0.connection": crate::host::sql::Database,
        },
    });
}

/// `spin:sqlite@3.0.0`, which has nothing async in it and so runs in both lanes.
pub(crate) mod spin32 {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package gust:bound;
            world spin32 {
                import spin:sqlite/sqlite@3.0.0;
            }
        ",
        imports: { default: async | trappable },
        with: {
            "spin:sqlite/sqlite@3.0.0.connection": crate::host::sql::Database,
        },
    });
}

/// The WASI proposals. `batch` is linked by hand: see `wasi_batch`.
pub(crate) mod drafts {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package gust:bound;
            world drafts {
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:config/store@0.2.0-draft-2024-09-27;
            }
        ",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::host::kv::Store,
            "wasi:keyvalue/atomics.cas": crate::host::wasi_kv::Cas,
        },
    });
}

/// Buckets, with the streams of WASI 0.2.
pub(crate) mod blobs {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "gust:host/blobs",
        imports: { default: async | trappable },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:blobstore/container.container": crate::host::blobs::Container,
            "wasi:blobstore/container.stream-object-names": crate::host::blobs::names::Names,
            "wasi:blobstore/types.outgoing-value": crate::host::blobs::outgoing::Outgoing,
            "wasi:blobstore/types.incoming-value": crate::host::blobs::incoming::Incoming,
        },
    });
}

/// Publishing: the WASI proposal, and our own interface that says more.
pub(crate) mod messaging {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "gust:host/messaging",
        imports: { default: async | trappable },
        with: {
            "wasi:messaging/types.client": crate::host::wasi_messaging::Client,
            "wasi:messaging/types.message": crate::host::wasi_messaging::Held,
        },
    });
}

/// Our own interface with async in its signatures.
pub(crate) mod messaging_async {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "gust:host/messaging-async",
        imports: { default: async | trappable },
        with: {
            "gust:events/publish": super::messaging::gust::events::publish,
        },
    });
}

/// `wasi:http@0.2.0-rc-2023-10-18`, on the very resources of 0.2: a handler of either is called in one way.
pub(crate) mod http_2023_10 {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package gust:bound;
            world http-of-october {
                import wasi:http/types@0.2.0-rc-2023-10-18;
                import wasi:http/outgoing-handler@0.2.0-rc-2023-10-18;
            }
        ",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io/poll@0.2.0-rc-2023-10-18": wasmtime_wasi::p2::bindings::io::poll,
            "wasi:io/streams@0.2.0-rc-2023-10-18": wasmtime_wasi::p2::bindings::io::streams,
            "wasi:http/types.fields": wasmtime_wasi_http::FieldMap,
            "wasi:http/types.incoming-request": wasmtime_wasi_http::p2::types::HostIncomingRequest,
            "wasi:http/types.incoming-response": wasmtime_wasi_http::p2::types::HostIncomingResponse,
            "wasi:http/types.incoming-body": wasmtime_wasi_http::p2::body::HostIncomingBody,
            "wasi:http/types.future-trailers": wasmtime_wasi_http::p2::body::HostFutureTrailers,
            "wasi:http/types.outgoing-request": wasmtime_wasi_http::p2::types::HostOutgoingRequest,
            "wasi:http/types.outgoing-response": wasmtime_wasi_http::p2::types::HostOutgoingResponse,
            "wasi:http/types.outgoing-body": wasmtime_wasi_http::p2::body::HostOutgoingBody,
            "wasi:http/types.response-outparam": wasmtime_wasi_http::p2::types::HostResponseOutparam,
            "wasi:http/types.future-incoming-response": wasmtime_wasi_http::p2::types::HostFutureIncomingResponse,
        },
    });
}
