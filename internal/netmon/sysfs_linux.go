//go:build linux && !mptcp_portable

package netmon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/extapi"
)

var tunnel = nature{kind: extapi.KindTunnel}

// natureByDriver goes by IFLA_INFO_KIND.
var natureByDriver = map[string]nature{
	"bridge": {extapi.KindEthernet, true}, "openvswitch": {extapi.KindEthernet, true},
	"tun": tunnel, "wireguard": tunnel, "amneziawg": tunnel, "ovpn": tunnel, "ppp": tunnel,
	"ipip": tunnel, "sit": tunnel, "gre": tunnel, "gretap": tunnel, "erspan": tunnel,
	"ip6tnl": tunnel, "ip6gre": tunnel, "ip6gretap": tunnel, "ip6erspan": tunnel,
	"vti": tunnel, "vti6": tunnel, "xfrm": tunnel, "vxlan": tunnel, "geneve": tunnel, "gtp": tunnel,
	"wwan": {kind: extapi.KindCellular}, "rmnet": {kind: extapi.KindCellular},
	"veth": {kind: extapi.KindEthernet}, "dummy": {kind: extapi.KindEthernet},
}

// natureByHardware goes by the ARP hardware type, where that says enough.
var natureByHardware = map[uint16]nature{
	unix.ARPHRD_LOOPBACK:           {kind: extapi.KindLoopback},
	unix.ARPHRD_PPP:                tunnel,
	unix.ARPHRD_TUNNEL:             tunnel,
	unix.ARPHRD_TUNNEL6:            tunnel,
	unix.ARPHRD_SIT:                tunnel,
	unix.ARPHRD_IPGRE:              tunnel,
	unix.ARPHRD_IP6GRE:             tunnel,
	unix.ARPHRD_RAWIP:              {kind: extapi.KindCellular},
	unix.ARPHRD_IEEE80211:          {kind: extapi.KindWiFi},
	unix.ARPHRD_IEEE80211_PRISM:    {kind: extapi.KindWiFi},
	unix.ARPHRD_IEEE80211_RADIOTAP: {kind: extapi.KindWiFi},
}

const sysClassNet = "/sys/class/net"

// natureBySysfs looks at what sysfs says of hardware. A mount of sysfs shows the interfaces of the
// network namespace it was made in: one whose index differs is another's.
func natureBySysfs(root, name string, index int) (nature, bool) {
	dir := filepath.Join(root, name)
	if b, err := os.ReadFile(filepath.Join(dir, "ifindex")); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(index) {
		return nature{}, false
	}
	has := func(file string) bool {
		_, err := os.Stat(filepath.Join(dir, file))
		return err == nil
	}
	devtype := ""
	if b, err := os.ReadFile(filepath.Join(dir, "uevent")); err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE="); ok {
				devtype = v
			}
		}
	}
	switch {
	case devtype == "wlan" || has("wireless") || has("phy80211"):
		return nature{kind: extapi.KindWiFi}, true
	case devtype == "wwan":
		return nature{kind: extapi.KindCellular}, true
	case devtype == "bridge" || has("bridge"):
		return nature{kind: extapi.KindEthernet, bridge: true}, true
	case devtype == "wireguard" || has("tun_flags"):
		return tunnel, true
	}
	return nature{}, false
}
