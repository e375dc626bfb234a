package options

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The bytes are those of captures 02 and 05.
func TestMPJoinForms(t *testing.T) {
	ack := MPJoin{Form: JoinAck}
	copy(ack.HMAC[:], unhex(t, "dfe8e14026273db5b05ecdd3ac0457f44d63809a"))
	synack := MPJoin{Form: JoinSynAck, Nonce: 0x1232edd1}
	copy(synack.HMAC[:], unhex(t, "5ad7baae89d89f5d"))
	backup := synack
	backup.Backup, backup.AddrID = true, 255
	checkExamples(t, []example{
		{"SYN", "1e0c1005 dc2230a5 7553df66", MPJoin{Form: JoinSyn, AddrID: 5, Token: 0xdc2230a5, Nonce: 0x7553df66},
			"MP_JOIN SYN id=5 backup=false token=0xdc2230a5 nonce=0x7553df66"},
		{"SYN for a backup", "1e0c1105 dc2230a5 7553df66", MPJoin{Form: JoinSyn, Backup: true, AddrID: 5, Token: 0xdc2230a5, Nonce: 0x7553df66},
			"MP_JOIN SYN id=5 backup=true token=0xdc2230a5 nonce=0x7553df66"},
		{"SYN/ACK", "1e101000 5ad7baae89d89f5d 1232edd1", synack,
			"MP_JOIN SYN/ACK id=0 backup=false hmac=5ad7baae89d89f5d nonce=0x1232edd1"},
		{"SYN/ACK for a backup", "1e1011ff 5ad7baae89d89f5d 1232edd1", backup,
			"MP_JOIN SYN/ACK id=255 backup=true hmac=5ad7baae89d89f5d nonce=0x1232edd1"},
		{"ACK", "1e181000 dfe8e14026273db5b05ecdd3ac0457f44d63809a", ack,
			"MP_JOIN ACK hmac=dfe8e14026273db5b05ecdd3ac0457f44d63809a"},
	})
}

func TestMPJoinLengths(t *testing.T) {
	checkLengths(t, []byte{Kind, 0, 0x10, 0}, 12, 16, 24)
}

func TestMPJoinIgnoresReservedBits(t *testing.T) {
	j, err := ParseMPJoin(unhex(t, "1e0c1f05 dc2230a5 7553df66"))
	require.NoError(t, err)
	require.Equal(t, MPJoin{Form: JoinSyn, Backup: true, AddrID: 5, Token: 0xdc2230a5, Nonce: 0x7553df66}, j)
	a, err := ParseMPJoin(unhex(t, "1e181fff dfe8e14026273db5b05ecdd3ac0457f44d63809a"))
	require.NoError(t, err)
	require.Equal(t, unhex(t, "1e181000 dfe8e14026273db5b05ecdd3ac0457f44d63809a"), a.Append(nil))
}

func TestMPJoinWithoutForm(t *testing.T) {
	require.Zero(t, MPJoin{}.Len())
	require.Empty(t, MPJoin{}.Append(nil))
	require.Contains(t, MPJoin{}.String(), "no form")
}
