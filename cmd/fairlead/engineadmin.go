package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/engine"
	"github.com/fairlead-lb/fairlead/internal/engine/admin"
	"github.com/fairlead-lb/fairlead/internal/engine/trouble"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// adminFlags say which engine to talk to, and as whom: its root key lies in the
// state directory.
type adminFlags struct {
	stateDir *string
	endpoint string
	caFile   string
}

func (f *adminFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.endpoint, "endpoint", "https://127.0.0.1:7440", "URL of the engine's API; http:// when it serves plain HTTP")
	flags.StringVar(&f.caFile, "ca", "", "certificate in PEM that the engine's is trusted by; empty: api.crt in the state directory, or the system's when there is none")
}

func (f *adminFlags) check(p *cli.Problems) {
	p.Unless(isURL(f.endpoint), "--endpoint %q: must be a URL such as https://127.0.0.1:7440", f.endpoint)
}

func isURL(text string) bool {
	at, err := url.Parse(text)
	return err == nil && at.Host != "" && (at.Scheme == "http" || at.Scheme == "https")
}

func (f *adminFlags) client() (admin.Client, error) {
	key, err := engine.ReadRootKey(*f.stateDir)
	if err != nil {
		return admin.Client{}, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, err = f.tls()
	return admin.Client{Endpoint: f.endpoint, Key: key, HTTP: &http.Client{Transport: transport}}, err
}

func (f *adminFlags) tls() (*tls.Config, error) {
	path := f.caFile
	if path == "" {
		path = engine.CertificateFile(*f.stateDir)
	}
	pem, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && f.caFile == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the engine's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// failed explains why an engine could not be talked to.
func (f *adminFlags) failed(what string, err error) error {
	failed := &cli.Error{What: what, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		failed.Hint = "name files that there are, and with --state-dir the directory that the engine runs with"
	case errors.Is(err, fs.ErrPermission):
		failed.Hint = "run it as the user that owns the engine's state directory " + *f.stateDir
	case errors.Is(err, syscall.ECONNREFUSED):
		failed.Hint = "start the engine, or name its URL with --endpoint"
	case isCertificate(err):
		failed.Hint = "name the engine's certificate with --ca, and one of its hosts with --endpoint; http:// when it serves plain HTTP"
	}
	return failed
}

// isCertificate says whether TLS was not had with whoever listens there.
func isCertificate(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return untrusted || errors.Is(err, http.ErrSchemeMismatch)
}

func newBackupCommand(stateDir *string) *cobra.Command {
	f := adminFlags{stateDir: stateDir}
	var out string
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Copy the state of a running engine to a file",
		Long: `Copy the state of a running engine to a file.

The copy is consistent and the engine goes on meanwhile. To restore it, stop the
engine and put the file into its state directory as state.db. Keep data-key.json
of the state directory elsewhere: the secrets in the copy cannot be read without it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p cli.Problems
			p.Required("out", out)
			f.check(&p)
			if err := p.Err(); err != nil {
				return err
			}
			client, err := f.client()
			if err == nil {
				err = backup(cmd.Context(), client, out)
			}
			if err != nil {
				return f.failed("back up the engine", err)
			}
			return nil
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&out, "out", "", "file to write; replaced when it exists (required)")
	return cmd
}

// backup writes the copy beside out, checks that it can be opened, and only then
// gives it its name.
func backup(ctx context.Context, client admin.Client, out string) error {
	body, err := client.Call(ctx, "Backup", struct{}{})
	if err != nil {
		return err
	}
	defer body.Close()
	file, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // gone after the rename
	_, err = io.Copy(file, body)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	if err := checkCopy(file.Name()); err != nil {
		return fmt.Errorf("check the copy: %w", err)
	}
	return os.Rename(file.Name(), out)
}

// checkCopy reads the whole of a copy.
func checkCopy(path string) error {
	copied, err := store.OpenFile(path)
	if err != nil {
		return err
	}
	_, err = copied.Load(func(string, string, []byte) error { return nil })
	return errors.Join(err, copied.Close())
}

func newTroubleCommand(stateDir *string) *cobra.Command {
	f := adminFlags{stateDir: stateDir}
	var set string
	var clear bool
	cmd := &cobra.Command{
		Use:   "trouble",
		Short: "Show or replace the trouble that a running engine makes on demand",
		Long: `Show or replace the trouble that a running engine makes on demand.

Without flags it prints the settings in force as JSON, the form that --set reads.`,
		Example: `  echo '{"readLag": "2s", "faults": [{"action": "CreateLoadBalancer", "kind": "error-after", "count": 1}]}' |
    fairlead engine trouble --set -
  fairlead engine trouble --clear`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p cli.Problems
			p.Unless(set == "" || !clear, "--set and --clear exclude each other")
			f.check(&p)
			if err := p.Err(); err != nil {
				return err
			}
			client, err := f.client()
			if err == nil {
				err = changeTrouble(cmd, client, set, clear)
			}
			if err != nil {
				return f.failed("set the engine's trouble", err)
			}
			return nil
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&set, "set", "", "file with the settings to take instead, as JSON; - reads standard input")
	cmd.Flags().BoolVar(&clear, "clear", false, "end all trouble")
	return cmd
}

func changeTrouble(cmd *cobra.Command, client admin.Client, set string, clear bool) error {
	action, input := "GetTrouble", any(struct{}{})
	switch {
	case clear:
		action, input = "PutTrouble", trouble.Settings{}
	case set != "":
		data, err := readInput(cmd.InOrStdin(), set)
		if err != nil {
			return err
		}
		action, input = "PutTrouble", json.RawMessage(data)
	}
	var now trouble.Settings
	if err := client.Do(cmd.Context(), action, input, &now); err != nil {
		return err
	}
	text, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), string(text))
	return err
}

func readInput(stdin io.Reader, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(path)
}
