// What the generic driver knows of a design under test: its top-level signals by number, and how
// to step it. The rest of the driver is compiled once and linked with every model.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace lamina {

// Storage of one top-level signal inside the Verilated model. Verilator keeps a signal as an
// integer of 1, 2, 4 or 8 bytes or as an array of 32-bit words, least significant first, so that
// on a little-endian host all of them are byte strings.
class Signal {
public:
    void* data = nullptr;
    uint32_t bytes = 0;

    explicit operator bool() const { return data != nullptr; }

    uint64_t get() const {
        uint64_t value = 0;
        if (data) std::memcpy(&value, data, bytes < 8 ? bytes : 8);
        return value;
    }

    void set(uint64_t value) const {
        if (data) std::memcpy(data, &value, bytes < 8 ? bytes : 8);
    }

    // Signals of one bit, as valid and ready: no copy of unknown length, which would be a call.
    bool high() const { return *static_cast<const uint8_t*>(data); }
    void drive(bool level) const { *static_cast<uint8_t*>(data) = level; }

    // Wide values travel as rows of 32-bit words; a row may be longer or shorter than the storage.
    void load(const uint32_t* row, uint32_t words) const {
        copy(data, row, bytes < 4 * words ? bytes : 4 * words);
    }

    void store(uint32_t* row, uint32_t words) const {
        copy(row, data, bytes < 4 * words ? bytes : 4 * words);
    }

private:
    static void copy(void* to, const void* from, uint32_t count) {
        switch (count) {
            case 1: std::memcpy(to, from, 1); return;
            case 2: std::memcpy(to, from, 2); return;
            case 4: std::memcpy(to, from, 4); return;
            case 8: std::memcpy(to, from, 8); return;
            default: std::memcpy(to, from, count);
        }
    }
};

// A Verilated model; model.cpp implements it for the top module named in ports.h.
class Model {
public:
    virtual ~Model() = default;
    virtual std::vector<Signal> signals() = 0;  // in the order of ports.h
    virtual void eval() = 0;
    virtual void dump() = 0;  // adds the present values to the trace, if there is one
};

// random_initial: uninitialised state gets values drawn from seed instead of zeros.
// trace: path of the VCD file, or null.
Model* create_model(uint64_t seed, bool random_initial, const char* trace);

// The design broke a rule of the protocol on a port; the text is a sentence that names the port.
struct ProtocolError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// splitmix64: every channel has its own, seeded by the run's seed and the channel's number.
class Random {
public:
    Random(uint64_t seed, uint64_t channel) : state_(mix(seed) ^ mix(~channel)) {}

    uint64_t next() { return mix(state_ += 0x9E3779B97F4A7C15ull); }

    // True with probability threshold / 2^32.
    bool below(uint64_t threshold) { return threshold && (next() >> 32) < threshold; }

private:
    static uint64_t mix(uint64_t z) {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return z ^ (z >> 31);
    }

    uint64_t state_;
};

// The driver's side of one port. A cycle is: drive, settle, observe, clock edge. What an endpoint
// drives depends on the past and on its random numbers only, never on the design's outputs of the
// same cycle: so valid cannot depend on ready.
class Endpoint {
public:
    virtual ~Endpoint() = default;
    virtual void restart() = 0;              // before reset is released: as if the run began anew
    virtual void idle() = 0;                 // drive the values of a port held in reset
    virtual void drive(int64_t cycle) = 0;   // sets the design's inputs of this cycle
    virtual bool observe(int64_t cycle) = 0; // true if something was transferred in this cycle
    virtual bool finished() const = 0;       // nothing is left for this port to do
};

}  // namespace lamina
