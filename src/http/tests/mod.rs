//! The edge over real HTTP and sockets, with a toy schema.
