//! Stories through the real binary, one a file. Each makes what it needs: nodes on free ports, apps on the spot.

mod first_day;
