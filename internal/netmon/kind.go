package netmon

import (
	"path"
	"strings"

	"github.com/mptcp-go/mptcp/extapi"
)

// nature is what kind of thing an interface is.
type nature struct {
	kind   extapi.LinkKind
	bridge bool
}

func (n nature) tunnel() bool { return n.kind == extapi.KindTunnel }

// namePatterns are what operating systems and programs call their interfaces, in lower case; the first
// that matches wins.
var namePatterns = []struct {
	pattern string
	nature
}{
	{"lo", nature{kind: extapi.KindLoopback}},
	{"lo[0-9]*", nature{kind: extapi.KindLoopback}},
	{"loopback*", nature{kind: extapi.KindLoopback}},
	{"docker*", nature{extapi.KindEthernet, true}},
	{"br-*", nature{extapi.KindEthernet, true}},
	{"br[0-9]*", nature{extapi.KindEthernet, true}},
	{"bridge[0-9]*", nature{extapi.KindEthernet, true}},
	{"virbr*", nature{extapi.KindEthernet, true}},
	{"lxcbr*", nature{extapi.KindEthernet, true}},
	{"lxdbr*", nature{extapi.KindEthernet, true}},
	{"podman*", nature{extapi.KindEthernet, true}},
	{"cni*", nature{extapi.KindEthernet, true}},
	{"vmnet*", nature{extapi.KindEthernet, true}},
	{"vboxnet*", nature{extapi.KindEthernet, true}},
	{"vethernet*", nature{extapi.KindEthernet, true}}, // Windows: the host's end of a Hyper-V switch
	{"tun*", nature{kind: extapi.KindTunnel}},
	{"tap*", nature{kind: extapi.KindTunnel}},
	{"utun*", nature{kind: extapi.KindTunnel}},
	{"wg*", nature{kind: extapi.KindTunnel}},
	{"ppp*", nature{kind: extapi.KindTunnel}},
	{"ipsec*", nature{kind: extapi.KindTunnel}},
	{"tailscale*", nature{kind: extapi.KindTunnel}},
	{"zt*", nature{kind: extapi.KindTunnel}},
	{"gif[0-9]*", nature{kind: extapi.KindTunnel}},
	{"stf[0-9]*", nature{kind: extapi.KindTunnel}},
	{"flannel*", nature{kind: extapi.KindTunnel}},
	{"wl*", nature{kind: extapi.KindWiFi}},
	{"wi-fi*", nature{kind: extapi.KindWiFi}},
	{"ath[0-9]*", nature{kind: extapi.KindWiFi}},
	{"ww*", nature{kind: extapi.KindCellular}},
	{"rmnet*", nature{kind: extapi.KindCellular}},
	{"pdp_ip*", nature{kind: extapi.KindCellular}},
	{"cellular*", nature{kind: extapi.KindCellular}},
	{"mobile*", nature{kind: extapi.KindCellular}},
	{"eth*", nature{kind: extapi.KindEthernet}},
	{"en[opsx]*", nature{kind: extapi.KindEthernet}}, // not macOS's en0, which is as often Wi-Fi
	{"veth*", nature{kind: extapi.KindEthernet}},
	{"bond*", nature{kind: extapi.KindEthernet}},
}

// natureByName guesses from an interface's name.
func natureByName(name string) nature {
	name = strings.ToLower(name)
	for _, p := range namePatterns {
		if ok, _ := path.Match(p.pattern, name); ok {
			return p.nature
		}
	}
	return nature{kind: extapi.KindUnknown}
}
