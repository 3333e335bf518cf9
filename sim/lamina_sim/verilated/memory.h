// AXI4 memory behind a master of the design, served from an array of the caller.
#pragma once

#include <algorithm>
#include <deque>

#include "driver.h"

namespace lamina {

constexpr int kOkay = 0, kSlverr = 2, kDecerr = 3;

struct AxiReadSignals {  // the order of the fields is that of lamina_axi_read's signal list
    Signal arid, araddr, arlen, arsize, arburst, arvalid, arready;
    Signal rid, rdata, rresp, rlast, rvalid, rready;
};

struct AddressRange {
    uint64_t start, stop;
};

struct Traffic {  // mirrored by library.Traffic
    int64_t bursts, beats, bytes, slverr, decerr, first_beat, last_beat;
};

struct MemorySettings {  // mirrored by library.MemorySettings
    const uint8_t* data;
    uint64_t size, base;
    int64_t latency;
    uint64_t ar_stall, r_stall, reorder;  // probabilities times 2^32
    const AddressRange* errors;
    int64_t error_count;
};

// The read half. Answers keep their order within an ID; `reorder` is the probability with which a
// beat is taken from another ID than the oldest one that is due.
class AxiReadMemory final : public Endpoint {
public:
    AxiReadMemory(std::string name, AxiReadSignals signals, MemorySettings settings, Random ar,
                  Random r)
        : name_(std::move(name)), s_(signals), m_(settings), beat_bytes_(signals.rdata.bytes),
          ar_seeded_(ar), r_seeded_(r), ar_(ar), r_(r) {}

    void restart() override {
        ar_ = ar_seeded_;
        r_ = r_seeded_;
        pending_.clear();
        traffic = {0, 0, 0, 0, 0, -1, -1};
        addresses.clear();
        lengths.clear();
        idle();
    }

    void idle() override {
        waiting_ = false;
        holding_ = false;
        s_.arready.drive(0);
        blank();
    }

    void drive(int64_t cycle) override {
        s_.arready.drive(!ar_.below(m_.ar_stall));
        if (holding_) return;
        auto burst = choose(cycle);
        if (burst == pending_.end() || r_.below(m_.r_stall)) return blank();
        holding_ = true;
        current_ = burst - pending_.begin();
        present(*burst);
    }

    bool observe(int64_t cycle) override {
        bool moved = false;
        if (holding_ && s_.rready.high()) {
            holding_ = false;
            moved = true;
            count_beat(cycle);
        }
        return accept_address(cycle) || moved;
    }

    bool finished() const override { return pending_.empty(); }
    bool address_waits() const { return waiting_; }

    Traffic traffic{};
    std::vector<uint64_t> addresses;
    std::vector<int64_t> lengths;  // beats of each burst

private:
    struct Burst {
        uint64_t id, address;
        int64_t beats, due;
        int response = kOkay;  // of the beat that is on the bus
    };

    bool accept_address(int64_t cycle) {
        const bool valid = s_.arvalid.high();
        if (waiting_ && !valid) fail("must keep arvalid until the address is taken", cycle);
        if (!valid) return false;
        const Burst burst{s_.arid.get(), s_.araddr.get(), int64_t(s_.arlen.get()) + 1,
                          cycle + m_.latency};
        if (waiting_ && (burst.address != held_.address || burst.beats != held_.beats ||
                         burst.id != held_.id))
            fail("must hold the address channel while it is stalled", cycle);
        held_ = burst;
        waiting_ = !s_.arready.high();
        if (waiting_) return false;
        check(burst, cycle);
        pending_.push_back(burst);
        ++traffic.bursts;
        addresses.push_back(burst.address);
        lengths.push_back(burst.beats);
        return true;
    }

    void check(const Burst& burst, int64_t cycle) const {
        if (s_.arburst && s_.arburst.get() != 1) fail("must use INCR bursts (arburst 1)", cycle);
        if (s_.arsize && (1ull << s_.arsize.get()) != beat_bytes_)
            fail("must read whole beats of " + std::to_string(beat_bytes_) + " bytes", cycle);
        const uint64_t first = burst.address / beat_bytes_ * beat_bytes_;
        const uint64_t last = first + uint64_t(burst.beats) * beat_bytes_ - 1;
        if (first / 4096 != last / 4096)
            fail("must not cross a 4 KiB boundary with a burst of " + std::to_string(burst.beats) +
                 " beats from address " + std::to_string(burst.address), cycle);
    }

    [[noreturn]] void fail(const std::string& rule, int64_t cycle) const {
        throw ProtocolError(name_ + " " + rule + " (cycle " + std::to_string(cycle) + ").");
    }

    using Position = std::deque<Burst>::iterator;

    // The oldest burst that is due, or now and then the oldest one of another ID.
    Position choose(int64_t cycle) {
        auto due = [cycle](const Burst& burst) { return burst.due <= cycle; };
        const auto oldest = std::find_if(pending_.begin(), pending_.end(), due);
        if (oldest == pending_.end() || !r_.below(m_.reorder)) return oldest;
        const auto other = std::find_if(oldest, pending_.end(), [&](const Burst& burst) {
            return due(burst) && burst.id != oldest->id;
        });
        return other == pending_.end() ? oldest : other;
    }

    void present(Burst& burst) {
        const uint64_t address = burst.address / beat_bytes_ * beat_bytes_;
        auto fails = [&](const AddressRange& range) {
            return range.start < address + beat_bytes_ && address < range.stop;
        };
        const uint64_t offset = address - m_.base;
        burst.response = kOkay;
        if (address < m_.base || offset > m_.size || m_.size - offset < beat_bytes_)
            burst.response = kDecerr;
        else if (std::any_of(m_.errors, m_.errors + m_.error_count, fails))
            burst.response = kSlverr;
        if (burst.response == kOkay)
            std::memcpy(s_.rdata.data, m_.data + offset, beat_bytes_);
        else
            blank();  // a beat in error carries garbage
        s_.rid.set(burst.id);
        s_.rresp.set(burst.response);
        s_.rlast.drive(burst.beats == 1);
        s_.rvalid.drive(1);
    }

    void count_beat(int64_t cycle) {
        auto burst = pending_.begin() + current_;
        if (traffic.first_beat < 0) traffic.first_beat = cycle;
        traffic.last_beat = cycle;
        ++traffic.beats;
        traffic.bytes += beat_bytes_;
        traffic.slverr += burst->response == kSlverr;
        traffic.decerr += burst->response == kDecerr;
        burst->address = burst->address / beat_bytes_ * beat_bytes_ + beat_bytes_;
        if (--burst->beats == 0) pending_.erase(burst);
    }

    void blank() {
        s_.rvalid.drive(0);
        for (uint32_t at = 0; at < beat_bytes_; at += 8) {
            const uint64_t garbage = r_.next();
            std::memcpy(static_cast<uint8_t*>(s_.rdata.data) + at, &garbage,
                        std::min<uint32_t>(8, beat_bytes_ - at));
        }
    }

    std::string name_;
    AxiReadSignals s_;
    MemorySettings m_;
    uint32_t beat_bytes_;
    Random ar_seeded_, r_seeded_, ar_, r_;
    std::deque<Burst> pending_;
    Burst held_{};
    size_t current_ = 0;
    bool holding_ = false;  // an R beat is on the bus
    bool waiting_ = false;  // an address was offered and not taken
};

}  // namespace lamina
