// A model of a gate-level netlist for the bulk driver, interpreted from tables: a netlist of a
// hundred thousand gates starts at once, where Verilator and g++ need minutes to compile it, and
// counting how often every wire changes costs next to nothing. gate_table.py writes the tables.
#include <memory>
#include <utility>

#include "driver.h"

namespace {

struct Gate {  // mirrored by gate_table.GATE
    uint64_t table;      // bit i: the output where input j has bit j of i
    int32_t inputs[6];   // wires; unused inputs are wire 0, constant 0
    int32_t output;
    int32_t padding;
};

struct Register {  // mirrored by gate_table.REGISTER
    int32_t data, state;
};

// Synchronous write and read port of the module's one clock; a row that is read while it is written
// gives the old data. Its wires lie in memory_wires from `first` on: write address, read address,
// write data, read data, each from the least significant bit.
struct Memory {  // mirrored by gate_table.MEMORY
    int32_t write_enable, read_enable, address_bits, width;
    int64_t depth, first;
};

struct Netlist {  // mirrored by gates._NetlistPointers
    int64_t wires, gates, registers, memories, signals;
    const Gate* gate;          // every gate behind those that drive it
    const Register* reg;
    const Memory* memory;
    const int32_t* memory_wires;
    const int32_t* first;      // [signals + 1] where a signal's wires begin in `bits`
    const int32_t* bits;       // wires of all signals, least significant first
    const uint8_t* is_input;   // [signals]
    int64_t clock, reset;      // numbers of signals, or negative
    int64_t* toggles;          // [wires] clock edges before which a wire had a new value
    int64_t* ones;             // [wires] clock edges before which it was 1
    int64_t* cycles;           // clock edges counted: those since the last reset
};

thread_local const Netlist* next_netlist = nullptr;

class GateModel final : public lamina::Model {
public:
    GateModel(const Netlist& netlist, uint64_t seed, bool random_initial)
        : n_(netlist), value_(n_.wires, 0), before_(n_.wires, 0), next_(n_.registers, 0) {
        value_[1] = 1;
        lamina::Random random(seed, 0);
        for (int64_t i = 0; i < n_.registers; ++i)
            value_[n_.reg[i].state] = random_initial ? random.next() & 1 : 0;
        for (int64_t i = 0; i < n_.memories; ++i)
            rows_.emplace_back(n_.memory[i].depth * n_.memory[i].width, 0);
        for (int64_t s = 0; s < n_.signals; ++s)
            storage_.emplace_back((width(s) + 31) / 32, 0);
    }

    std::vector<lamina::Signal> signals() override {
        std::vector<lamina::Signal> result(n_.signals);
        for (int64_t s = 0; s < n_.signals; ++s) {
            result[s].data = storage_[s].data();
            result[s].bytes = static_cast<uint32_t>(4 * storage_[s].size());
        }
        return result;
    }

    // The driver settles with the clock low, looks at the outputs, and raises the clock without
    // looking again: so an edge need not settle.
    void eval() override {
        const bool clock = n_.clock >= 0 && storage_[n_.clock][0] & 1;
        if (!clock) settle();
        if (clock && !clock_) edge();
        clock_ = clock;
    }

    void dump() override {}

private:
    int64_t width(int64_t signal) const { return n_.first[signal + 1] - n_.first[signal]; }

    void settle() {
        for (int64_t s = 0; s < n_.signals; ++s)
            if (n_.is_input[s] && s != n_.clock)
                for (int64_t i = 0; i < width(s); ++i)
                    value_[n_.bits[n_.first[s] + i]] = storage_[s][i / 32] >> (i % 32) & 1;
        for (int64_t g = 0; g < n_.gates; ++g) {
            const Gate& gate = n_.gate[g];
            unsigned row = 0;
            for (int j = 0; j < 6; ++j) row |= unsigned{value_[gate.inputs[j]]} << j;
            value_[gate.output] = gate.table >> row & 1;
        }
        for (int64_t s = 0; s < n_.signals; ++s) {
            if (n_.is_input[s]) continue;
            for (auto& word : storage_[s]) word = 0;
            for (int64_t i = 0; i < width(s); ++i)
                storage_[s][i / 32] |= uint32_t{value_[n_.bits[n_.first[s] + i]]} << (i % 32);
        }
    }

    void edge() {
        count();
        started_ |= !in_reset();
        for (int64_t i = 0; i < n_.registers; ++i) next_[i] = value_[n_.reg[i].data];
        read_.clear();
        for (int64_t i = 0; i < n_.memories; ++i) access(n_.memory[i], rows_[i]);
        for (int64_t i = 0; i < n_.registers; ++i) value_[n_.reg[i].state] = next_[i];
        for (auto [wire, bit] : read_) value_[wire] = bit;
    }

    int64_t number(const int32_t* wires, int count) const {
        int64_t result = 0;
        for (int i = 0; i < count; ++i) result |= int64_t{value_[wires[i]]} << i;
        return result;
    }

    // What is read is noted and takes effect with the registers. Rows are zero until the first reset
    // ends, as they are in the Verilog: what registers with random values would write under it, no
    // design may rely on, and it would only make the two differ.
    void access(const Memory& memory, std::vector<uint8_t>& rows) {
        const int32_t* wires = n_.memory_wires + memory.first;
        const int64_t to = number(wires, memory.address_bits);
        const int64_t from = number(wires + memory.address_bits, memory.address_bits);
        const int32_t* write = wires + 2 * memory.address_bits;
        const int32_t* read = write + memory.width;
        if (value_[memory.read_enable])
            for (int i = 0; i < memory.width; ++i)
                read_.push_back({read[i], from < memory.depth ? rows[from * memory.width + i] : 0});
        if (started_ && value_[memory.write_enable] && to < memory.depth)
            for (int i = 0; i < memory.width; ++i) rows[to * memory.width + i] = value_[write[i]];
    }

    bool in_reset() const { return n_.reset >= 0 && storage_[n_.reset][0] & 1; }

    void count() {
        if (in_reset()) {
            std::memset(n_.toggles, 0, n_.wires * sizeof *n_.toggles);
            std::memset(n_.ones, 0, n_.wires * sizeof *n_.ones);
            *n_.cycles = 0;
        } else {
            for (int64_t w = 0; w < n_.wires; ++w) {
                n_.toggles[w] += value_[w] ^ before_[w];
                n_.ones[w] += value_[w];
            }
            ++*n_.cycles;
        }
        before_ = value_;
    }

    const Netlist n_;
    std::vector<uint8_t> value_, before_, next_;
    std::vector<std::vector<uint8_t>> rows_;
    std::vector<std::pair<int32_t, uint8_t>> read_;
    std::vector<std::vector<uint32_t>> storage_;
    bool clock_ = false, started_ = false;
};

}  // namespace

// The netlist of the next simulation that this thread opens; its tables must outlive that.
extern "C" __attribute__((visibility("default"))) void lamina_netlist(const Netlist* netlist) {
    next_netlist = netlist;
}

lamina::Model* lamina::create_model(uint64_t seed, bool random_initial, const char*) {
    return new GateModel(*next_netlist, seed, random_initial);
}
