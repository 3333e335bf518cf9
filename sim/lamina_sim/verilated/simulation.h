// One run of a model: the clock, reset and the loop over all ports.
#pragma once

#include <memory>

#include "memory.h"
#include "stream.h"

namespace lamina {

enum class Status : int { kRunning = 0, kDone = 1, kStuck = 2, kError = 3 };

struct Schedule {  // mirrored by library.Schedule
    int64_t reset_cycles;
    int64_t reset_at;  // cycle in which reset comes once more, or negative
    int64_t timeout;   // cycles without a transfer until the run counts as stuck
    int64_t drain;     // the same until a run without a count of outputs counts as done
    int64_t limit;     // cycles after which the run counts as stuck whatever happens
};

class Simulation {
public:
    Simulation(Model* model, int clock, int reset, Schedule schedule)
        : model_(model), signals_(model->signals()), clock_(signal(clock)), reset_(signal(reset)),
          plan_(schedule), pending_reset_(schedule.reset_at >= 0) {}

    Signal signal(int index) const { return index < 0 ? Signal{} : signals_.at(index); }

    // At most `cycles` further cycles; the caller comes back until the status is not kRunning.
    Status run(int64_t cycles) {
        if (cycle_ < 0) restart();
        for (; cycles > 0; --cycles) {
            if (pending_reset_ && cycle_ == plan_.reset_at) {
                pending_reset_ = false;
                restart();
            }
            if (!pending_reset_ && done()) return finish();
            if (cycle_ - last_transfer_ > plan_.timeout && !pending_reset_) return Status::kStuck;
            if (cycle_ >= plan_.limit) return Status::kStuck;
            step();
        }
        return Status::kRunning;
    }

    void settle() { evaluate(false); }
    void edge() { evaluate(true); }

    int64_t cycle() const { return cycle_; }
    int64_t last_transfer() const { return last_transfer_; }

    std::vector<std::unique_ptr<InputStream>> inputs;
    std::vector<std::unique_ptr<OutputStream>> outputs;
    std::vector<std::unique_ptr<AxiReadMemory>> memories;
    std::string message;

private:
    void restart() {
        endpoints_.clear();
        for (auto& port : inputs) endpoints_.push_back(port.get());
        for (auto& port : outputs) endpoints_.push_back(port.get());
        for (auto& port : memories) endpoints_.push_back(port.get());
        reset_.set(1);
        for (int64_t i = 0; i < plan_.reset_cycles; ++i) {
            for (auto* port : endpoints_) port->idle();
            settle();
            edge();
        }
        reset_.set(0);
        for (auto* port : endpoints_) port->restart();
        cycle_ = 0;
        last_transfer_ = -1;
    }

    void step() {
        for (auto* port : endpoints_) port->drive(cycle_);
        settle();
        bool moved = false;
        for (auto* port : endpoints_) moved |= port->observe(cycle_);
        if (moved) last_transfer_ = cycle_;
        edge();
        ++cycle_;
    }

    void evaluate(bool clock) {
        if (clock_) clock_.drive(clock);
        model_->eval();
        model_->dump();
    }

    // With a count for every output the last of them ends the run. Otherwise nobody can say that
    // nothing will follow, and the run ends when all inputs are sent and nothing moves any more.
    bool done() const {
        for (const auto& port : outputs)
            if (!port->finished()) return false;
        bool counted = !outputs.empty();
        for (const auto& port : outputs) counted = counted && port->counted();
        if (counted) return true;
        for (auto* port : endpoints_)
            if (!port->finished()) return false;
        return cycle_ - last_transfer_ > plan_.drain;
    }

    Status finish() {
        for (auto* port : endpoints_) port->idle();
        settle();  // plain outputs are read after the last edge
        return Status::kDone;
    }

    std::unique_ptr<Model> model_;
    std::vector<Signal> signals_;
    Signal clock_, reset_;
    Schedule plan_;
    std::vector<Endpoint*> endpoints_;
    int64_t cycle_ = -1, last_transfer_ = -1;
    bool pending_reset_;
};

}  // namespace lamina
