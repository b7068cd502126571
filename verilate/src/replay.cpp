
// A bare loop round the model: what a recording holds goes in, and nothing is looked at. The layout is `Change` in recording.rs.
namespace {

struct Change {
    uint64_t value;
    uint32_t port;
    uint32_t unused;
};

void put(void* at, uint32_t bytes, uint64_t value) {
    switch (bytes) {
    case 1: *(uint8_t*)at = (uint8_t)value; break;
    case 2: *(uint16_t*)at = (uint16_t)value; break;
    case 4: *(uint32_t*)at = (uint32_t)value; break;
    default: *(uint64_t*)at = value;
    }
}

}  // namespace

extern "C" void @SYMBOL@_replay(void* handle, uint64_t cycles, const uint32_t* counts, const Change* changes) {
    void* at[@COUNT@];
    addresses(handle, at);
    for (uint64_t cycle = 0; cycle < cycles; cycle++) {
        for (uint32_t k = 0; k < counts[cycle]; k++, changes++) put(at[changes->port], table[changes->port].bytes, changes->value);
        tick(handle);
    }
}
