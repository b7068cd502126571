// Between a verilated model and Rust. The table's layout is `Api` in dut.rs.
#include "@PREFIX@.h"
#if @SKIP@
#include "@PREFIX@___024root.h"
#endif
#include "verilated.h"
#if @TRACE@
#include "verilated_vcd_c.h"
#endif
#include <cstdint>

namespace {

// A cycle of 156.25 MHz in picoseconds.
constexpr uint64_t HALF_CYCLE = 3200;

// What must be set before the model is made.
struct Context : VerilatedContext {
    explicit Context(uint32_t seed) {
        // Random initial values have an effect only where the design was compiled for them.
        randReset(2);
        randSeed((int)seed);
#if @TRACE@
        traceEverOn(true);
#endif
    }
};

struct Model {
    Context context;
    @PREFIX@ top{&context, "top"};
    uint64_t time = 0;
#if @TRACE@
    VerilatedVcdC* wave = nullptr;
#endif
    explicit Model(uint32_t seed) : context(seed) {}
};

struct PortEntry {
    const char* name;
    uint32_t width;
    uint32_t output;
    uint32_t bytes;  // 0: words of 32 bits
};

const PortEntry table[] = {
@TABLE@};

void dump(Model* m) {
#if @TRACE@
    if (m->wave) m->wave->dump(m->time);
#else
    (void)m;
#endif
}

bool waving(const Model* m) {
#if @TRACE@
    return m->wave != nullptr;
#else
    (void)m;
    return false;
#endif
}

void* create(uint32_t seed) {
    Model* m = new Model(seed);
#if @CLOCK@
    // The first evaluation only takes note of the clock.
    m->top.clock = 0;
#endif
    m->top.eval();
    return m;
}

void wave_close(void* handle) {
#if @TRACE@
    Model* m = (Model*)handle;
    if (m->wave) {
        m->wave->close();
        delete m->wave;
        m->wave = nullptr;
    }
#else
    (void)handle;
#endif
}

void destroy(void* handle) {
    Model* m = (Model*)handle;
    wave_close(handle);
    m->top.final();
    delete m;
}

void eval(void* handle) { ((Model*)handle)->top.eval(); }

void half(Model* m, int clock) {
#if @CLOCK@
    m->top.clock = clock;
#else
    (void)clock;
#endif
    m->top.eval();
    dump(m);
    m->time += HALF_CYCLE;
}

void fall(void* handle) { half((Model*)handle, 0); }

void rise(void* handle) { half((Model*)handle, 1); }

void tick(void* handle) {
    Model* m = (Model*)handle;
#if @SKIP@
    // Nothing happens at the falling edge: unless a wave is to show it, the model is only told that there was one.
    if (!waving(m)) {
        m->top.rootp->@PREVIOUS@ = 0;
        m->time += HALF_CYCLE;
        half(m, 1);
        return;
    }
#endif
    half(m, 0);
    half(m, 1);
}

void addresses(void* handle, void** addresses) {
    Model* m = (Model*)handle;
    int k = 0;
@ADDRESSES@    (void)m; (void)addresses; (void)k;
}

int32_t wave_open(void* handle, const char* path) {
#if @TRACE@
    Model* m = (Model*)handle;
    wave_close(handle);
    m->wave = new VerilatedVcdC;
    m->wave->set_time_unit("1ps");
    m->wave->set_time_resolution("1ps");
    m->top.trace(m->wave, 99);
    m->wave->open(path);
    return m->wave->isOpen() ? 0 : 2;
#else
    (void)handle; (void)path;
    return 1;
#endif
}

struct Api {
    uint32_t count;
    const PortEntry* ports;
    void* (*create)(uint32_t);
    void (*destroy)(void*);
    void (*eval)(void*);
    void (*fall)(void*);
    void (*rise)(void*);
    void (*tick)(void*);
    void (*addresses)(void*, void**);
    int32_t (*wave_open)(void*, const char*);
    void (*wave_close)(void*);
};

const Api api = {@COUNT@, table, create, destroy, eval, fall, rise, tick, addresses, wave_open, wave_close};

}  // namespace

extern "C" const void* @SYMBOL@() { return &api; }
